// SQL functions in C++: RTD_FUNCTION declares one (the body runs in enter()), Arguments reads its
// arguments. Index 0 is the first argument, as in the server.
#pragma once
#include "core/fence.h"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pg/server/boundary.h"

#include "pg/server/prelude.h"

// PG_FUNCTION_INFO_V1, but visible: the module is built with hidden visibility.
#define RTD_FUNCTION(name)                                                                         \
    RTD_EXPORT Datum name(PG_FUNCTION_ARGS);                                                       \
    RTD_EXPORT const Pg_finfo_record *pg_finfo_##name(void);                                       \
    const Pg_finfo_record *pg_finfo_##name(void) {                                                 \
        static const Pg_finfo_record info = {1};                                                   \
        return &info;                                                                              \
    }                                                                                              \
    Datum name(PG_FUNCTION_ARGS)

namespace rtd::pg {

using TextList = std::vector<std::optional<std::string>>; // an SQL text[]

class Arguments {
  public:
    explicit Arguments(FunctionCallInfo fcinfo) : fcinfo(fcinfo) {}

    Oid function() const { return fcinfo->flinfo->fn_oid; }
    bool has(int index) const { return !PG_ARGISNULL(index); }
    Datum datum(int index) const { return PG_GETARG_DATUM(index); }
    Oid oid(int index) const { return PG_GETARG_OID(index); }
    int32 integer(int index, int32 otherwise) const {
        return has(index) ? PG_GETARG_INT32(index) : otherwise;
    }
    bool boolean(int index, bool otherwise) const {
        return has(index) ? PG_GETARG_BOOL(index) : otherwise;
    }
    std::optional<std::string> text(int index) const;
    std::optional<TextList> texts(int index) const;

    // For arguments that must not be NULL although the function as a whole is not strict.
    std::string needed_text(int index, const char *name) const;
    Oid needed_oid(int index, const char *name) const;

  private:
    FunctionCallInfo fcinfo; // named as the server's PG_GETARG macros want it
};

TextList elements_of(Datum text_array);

// The server's messages below ERROR, raised from C++.
void notice(const std::string &message, const std::string &detail = {},
            const std::string &hint = {});
void warn(int sqlstate, const std::string &message, const std::string &detail = {},
          const std::string &hint = {});

// "1 parameter", "2 parameters"
std::string counted(size_t count, const char *noun);

// Server encoding to UTF-8, which is what an Event carries. Never fails: a character that has no
// equivalent becomes a question mark, because a payload must not fail a write.
std::string to_utf8(const char *text);
std::string to_utf8(const std::string &text);
// The same without a copy where the text is UTF-8 already; otherwise it is in `converted`.
std::string_view to_utf8(const char *text, std::string &converted);

} // namespace rtd::pg
