// Implementation of the crossings; see boundary.h.
#include "pg/server/boundary.h"

namespace rtd::pg {

void Failure::set(const Error &error) noexcept {
    sqlstate = error.sqlstate();
    strlcpy(message, error.message().c_str(), sizeof message);
    strlcpy(detail, error.detail().c_str(), sizeof detail);
    strlcpy(hint, error.hint().c_str(), sizeof hint);
}

void Failure::set(int code, const char *text) noexcept {
    sqlstate = code;
    strlcpy(message, text, sizeof message);
    detail[0] = hint[0] = '\0';
}

void Failure::report() const {
    ereport(ERROR, (errcode(sqlstate), errmsg("%s", message),
                    detail[0] != '\0' ? errdetail("%s", detail) : 0,
                    hint[0] != '\0' ? errhint("%s", hint) : 0));
    pg_unreachable();
}

void throw_server_error(MemoryContext context) {
    MemoryContextSwitchTo(context);
    ErrorData *data = CopyErrorData();
    FlushErrorState();
    auto text = [](const char *s) { return s != nullptr ? std::string(s) : std::string(); };
    Error error(data->sqlerrcode, text(data->message), text(data->detail), text(data->hint));
    FreeErrorData(data);
    throw error;
}

} // namespace rtd::pg
