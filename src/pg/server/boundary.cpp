// Implementation of the crossings; see boundary.h.
#include "pg/server/boundary.h"

#include <algorithm>

#include "core/utf8.h"

#include "pg/server/prelude.h"

extern "C" {
#include "mb/pg_wchar.h"
}

namespace rtd::pg {

std::string_view beginning_of(std::string_view text, size_t max_bytes) noexcept {
    if (text.size() <= max_bytes)
        return text;
    int encoding = GetDatabaseEncoding();
    if (encoding == PG_UTF8 || encoding == PG_SQL_ASCII) // which the postmaster has, for its log
        return truncate_utf8(text, max_bytes);
    return text.substr(
        0, static_cast<size_t>(pg_encoding_mbcliplen(
               encoding, text.data(),
               static_cast<int>(std::min(text.size(), max_bytes + MAX_MULTIBYTE_CHAR_LEN)),
               static_cast<int>(max_bytes))));
}

void Failure::set(const Error &error) noexcept {
    sqlstate = error.sqlstate();
    copy_beginning(message, error.message());
    copy_beginning(detail, error.detail());
    copy_beginning(hint, error.hint());
}

void Failure::set(int code, const char *text) noexcept {
    sqlstate = code;
    copy_beginning(message, text);
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
