#include "pg/server/saved_plan.h"

#include "pg/server/prelude.h"

extern "C" {
#include "access/htup_details.h"
}

namespace rtd::pg {

namespace {

ResultSet result_of(int code, int wanted) {
    if (code < 0 || (wanted != 0 && code != wanted))
        elog(ERROR, "unexpected result of a statement: %s", SPI_result_code_string(code));
    ResultSet result;
    result.count = SPI_processed;
    if (SPI_tuptable != nullptr) {
        result.rows = SPI_tuptable->vals;
        result.columns = SPI_tuptable->tupdesc;
    }
    return result;
}

// The server does not change them, and does not say so.
Datum *changeable(const std::vector<Datum> &values) {
    return const_cast<Datum *>(values.data());
}

} // namespace

const char *ResultSet::text(uint64 row, int column) const {
    return SPI_getvalue(rows[row], columns, column);
}

Datum ResultSet::value(uint64 row, int column, bool &is_null) const {
    return heap_getattr(rows[row], column, columns, &is_null);
}

Oid ResultSet::type(int column) const {
    return SPI_gettypeid(columns, column);
}

SavedPlan::SavedPlan(const std::string &sql, const std::vector<Oid> &types, int options) {
    std::vector<Oid> argument_types = types;
    with_spi([&] {
        plan_ = call([&] {
            SPIPlanPtr made =
                SPI_prepare_cursor(sql.c_str(), static_cast<int>(argument_types.size()),
                                   argument_types.data(), options);
            if (made == nullptr || SPI_keepplan(made) != 0)
                elog(ERROR, "could not prepare a statement: %s",
                     SPI_result_code_string(SPI_result));
            return made;
        });
    });
}

SavedPlan::~SavedPlan() {
    if (plan_ != nullptr)
        SPI_freeplan(plan_);
}

bool SavedPlan::is_valid() const {
    return call([&] { return SPI_plan_is_valid(plan_); });
}

ResultSet SavedPlan::select(const std::vector<Datum> &values, long limit) const {
    Datum *arguments = changeable(values);
    return call([&] {
        return result_of(SPI_execute_plan(plan_, arguments, nullptr, true, limit), SPI_OK_SELECT);
    });
}

ResultSet SavedPlan::execute(const std::vector<Datum> &values, const std::string &nulls) const {
    Datum *arguments = changeable(values);
    return call(
        [&] { return result_of(SPI_execute_plan(plan_, arguments, nulls.c_str(), false, 0), 0); });
}

// A snapshot of its own, as foreign key checks take one.
ResultSet SavedPlan::select_fresh(const std::vector<Datum> &values,
                                  const std::string &nulls) const {
    Datum *arguments = changeable(values);
    return call([&] {
        return result_of(SPI_execute_snapshot(plan_, arguments, nulls.c_str(), GetLatestSnapshot(),
                                              InvalidSnapshot, true, false, 0),
                         0);
    });
}

void start_query(const std::string &sql, const std::vector<Oid> &types) {
    std::vector<Oid> argument_types = types;
    std::vector<Datum> values(types.size(), 0);
    std::string nulls(types.size(), 'n');
    with_spi([&] {
        call([&] {
            Portal portal = SPI_cursor_open_with_args(
                nullptr, sql.c_str(), static_cast<int>(argument_types.size()),
                argument_types.data(), values.data(), nulls.c_str(), true, CURSOR_OPT_NO_SCROLL);
            SPI_cursor_close(portal);
        });
    });
}

} // namespace rtd::pg
