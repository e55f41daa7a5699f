// Arguments, notices and encoding: the small change of every SQL function. Runs in backends.
#include "pg/function.h"

#include "pg/prelude.h"

extern "C" {
#include "mb/pg_wchar.h"
#include "utils/array.h"
}

namespace rtd::pg {

namespace {

std::string string_of(Datum text_datum) {
    return call([&] { return TextDatumGetCString(text_datum); });
}

} // namespace

std::optional<std::string> Arguments::text(int index) const {
    if (!has(index))
        return std::nullopt;
    return string_of(datum(index));
}

std::optional<TextList> Arguments::texts(int index) const {
    if (!has(index))
        return std::nullopt;
    return elements_of(datum(index));
}

std::string Arguments::needed_text(int index, const char *name) const {
    std::optional<std::string> value = text(index);
    if (!value)
        throw Error(ERRCODE_NULL_VALUE_NOT_ALLOWED, std::string(name) + " must not be null");
    return *value;
}

Oid Arguments::needed_oid(int index, const char *name) const {
    if (!has(index))
        throw Error(ERRCODE_NULL_VALUE_NOT_ALLOWED, std::string(name) + " must not be null");
    return oid(index);
}

TextList elements_of(Datum text_array) {
    struct Elements {
        Datum *values;
        bool *nulls;
        int count;
        int dimensions;
    };
    Elements elements = call([&] {
        Elements found{};
        ArrayType *array = DatumGetArrayTypeP(text_array);
        found.dimensions = ARR_NDIM(array);
        deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &found.values, &found.nulls,
                          &found.count);
        return found;
    });
    if (elements.dimensions > 1)
        throw Error(ERRCODE_ARRAY_SUBSCRIPT_ERROR, "the array must have one dimension");
    TextList texts;
    for (int i = 0; i < elements.count; i++) {
        if (elements.nulls[i])
            texts.emplace_back(std::nullopt);
        else
            texts.emplace_back(string_of(elements.values[i]));
    }
    return texts;
}

void notice(const std::string &message, const std::string &detail, const std::string &hint) {
    call([&] {
        ereport(NOTICE, (errmsg("%s", message.c_str()),
                         detail.empty() ? 0 : errdetail("%s", detail.c_str()),
                         hint.empty() ? 0 : errhint("%s", hint.c_str())));
    });
}

void warn(int sqlstate, const std::string &message, const std::string &detail,
          const std::string &hint) {
    call([&] {
        ereport(WARNING, (errcode(sqlstate), errmsg("%s", message.c_str()),
                          detail.empty() ? 0 : errdetail("%s", detail.c_str()),
                          hint.empty() ? 0 : errhint("%s", hint.c_str())));
    });
}

std::string to_utf8(const char *text) {
    return call([&] { return pg_server_to_any(text, static_cast<int>(strlen(text)), PG_UTF8); });
}

std::string to_utf8(const std::string &text) {
    return to_utf8(text.c_str());
}

} // namespace rtd::pg
