#include "pg/worker_transaction.h"

#include "pg/prelude.h"

namespace rtd::pg {

std::vector<Row> run_sql(const std::string &sql,
                         const std::vector<std::optional<std::string>> &args, bool read_only) {
    std::vector<Oid> types(args.size(), TEXTOID);
    std::vector<Datum> values(args.size());
    std::string nulls(args.size(), ' ');
    for (size_t i = 0; i < args.size(); i++) {
        if (args[i])
            values[i] = call([&] {
                return PointerGetDatum(
                    cstring_to_text_with_len(args[i]->data(), static_cast<int>(args[i]->size())));
            });
        else
            nulls[i] = 'n';
    }
    call([&] {
        int result = SPI_execute_with_args(sql.c_str(), static_cast<int>(args.size()), types.data(),
                                           values.data(), nulls.c_str(), read_only, 0);
        if (result < 0)
            elog(ERROR, "SPI_execute_with_args failed: %s", SPI_result_code_string(result));
    });
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

std::string array_literal(const std::vector<std::string> &elements) {
    std::string out = "{";
    for (const std::string &element : elements) {
        if (out.size() > 1)
            out += ',';
        out += '"';
        for (char c : element) {
            if (c == '"' || c == '\\')
                out += '\\';
            out += c;
        }
        out += '"';
    }
    return out + "}";
}

} // namespace rtd::pg
