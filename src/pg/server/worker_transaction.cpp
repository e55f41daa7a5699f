#include "pg/server/worker_transaction.h"

#include <cstring>
#include <unordered_map>

#include "pg/server/setting_scope.h"

#include "pg/server/prelude.h"

namespace rtd::pg {

namespace {

// Costs nothing where search_path is what fix_worker_settings() has made it.
class OwnNames {
  public:
    OwnNames() {
        if (strcmp(namespace_search_path, kOwnSearchPath) != 0)
            path_.emplace(kOwnSearchPath);
    }

  private:
    std::optional<SearchPath> path_;
};

struct Values {
    std::vector<Datum> datums;
    std::string nulls;
};

Values text_values(const std::vector<std::optional<std::string>> &args) {
    Values values{std::vector<Datum>(args.size()), std::string(args.size(), ' ')};
    for (size_t i = 0; i < args.size(); i++) {
        if (args[i])
            values.datums[i] = call([&] {
                return PointerGetDatum(
                    cstring_to_text_with_len(args[i]->data(), static_cast<int>(args[i]->size())));
            });
        else
            values.nulls[i] = 'n';
    }
    return values;
}

std::vector<Row> take_rows() {
    std::vector<Row> rows;
    if (SPI_tuptable == nullptr)
        return rows;
    TupleDesc columns = SPI_tuptable->tupdesc;
    for (uint64 i = 0; i < SPI_processed; i++) {
        Row &row = rows.emplace_back();
        for (int column = 1; column <= columns->natts; column++) {
            const char *text =
                call([&] { return SPI_getvalue(SPI_tuptable->vals[i], columns, column); });
            row.push_back(text != nullptr ? std::optional<std::string>(text) : std::nullopt);
        }
    }
    SPI_freetuptable(SPI_tuptable);
    return rows;
}

SPIPlanPtr kept_plan(const std::string &sql, size_t argument_count) {
    static auto *plans = new std::unordered_map<std::string, SPIPlanPtr>();
    auto found = plans->find(sql);
    if (found != plans->end())
        return found->second;
    std::vector<Oid> types(argument_count, TEXTOID);
    SPIPlanPtr plan = call([&] {
        SPIPlanPtr made = SPI_prepare(sql.c_str(), static_cast<int>(argument_count), types.data());
        if (made == nullptr || SPI_keepplan(made) != 0)
            elog(ERROR, "could not prepare a statement: %s", SPI_result_code_string(SPI_result));
        return made;
    });
    plans->emplace(sql, plan);
    return plan;
}

} // namespace

std::vector<Row> run_sql(const std::string &sql,
                         const std::vector<std::optional<std::string>> &args, bool read_only) {
    OwnNames names;
    std::vector<Oid> types(args.size(), TEXTOID);
    Values values = text_values(args);
    call([&] {
        int result =
            SPI_execute_with_args(sql.c_str(), static_cast<int>(args.size()), types.data(),
                                  values.datums.data(), values.nulls.c_str(), read_only, 0);
        if (result < 0)
            elog(ERROR, "SPI_execute_with_args failed: %s", SPI_result_code_string(result));
    });
    return take_rows();
}

std::vector<Row> run_kept_sql(const std::string &sql,
                              const std::vector<std::optional<std::string>> &args) {
    OwnNames names; // for the plan too, which keeps the search_path it was made under
    SPIPlanPtr plan = kept_plan(sql, args.size());
    Values values = text_values(args);
    call([&] {
        int result = SPI_execute_plan(plan, values.datums.data(), values.nulls.c_str(), false, 0);
        if (result < 0)
            elog(ERROR, "SPI_execute_plan failed: %s", SPI_result_code_string(result));
    });
    return take_rows();
}

std::string array_literal(const std::vector<std::string> &elements) {
    return array_literal(std::vector<std::optional<std::string>>(elements.begin(), elements.end()));
}

std::string array_literal(const std::vector<std::optional<std::string>> &elements) {
    std::string out = "{";
    for (const std::optional<std::string> &element : elements) {
        if (out.size() > 1)
            out += ',';
        if (!element) {
            out += "NULL";
            continue;
        }
        out += '"';
        for (char c : *element) {
            if (c == '"' || c == '\\')
                out += '\\';
            out += c;
        }
        out += '"';
    }
    return out + "}";
}

} // namespace rtd::pg
