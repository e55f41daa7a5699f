// Arguments, notices and encoding: the small change of every SQL function. Runs in backends.
#include "pg/server/sql_function.h"

#include <algorithm>

#include "pg/server/prelude.h"

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

std::string counted(size_t count, const char *noun) {
    return std::to_string(count) + " " + noun + (count == 1 ? "" : "s");
}

namespace {

// Bytes of the first character of `text` if it is valid in `encoding`, else -1.
int valid_character(int encoding, const char *text, size_t size) {
    return call([&] { return pg_encoding_verifymbchar(encoding, text, static_cast<int>(size)); });
}

std::string without_invalid_utf8(const std::string &text) {
    std::string valid;
    for (size_t at = 0; at < text.size();) {
        int size = valid_character(PG_UTF8, text.c_str() + at, text.size() - at);
        if (size > 0)
            valid.append(text, at, static_cast<size_t>(size));
        else
            valid.push_back('?');
        at += static_cast<size_t>(std::max(size, 1));
    }
    return valid;
}

std::string converted_to_utf8(std::string text, int encoding) {
    Oid conversion = call([&] { return FindDefaultConversionProc(encoding, PG_UTF8); });
    if (!OidIsValid(conversion))
        return without_invalid_utf8(text);
    std::string utf8, buffer(text.size() * MAX_CONVERSION_GROWTH + 1, '\0');
    for (size_t at = 0; at < text.size();) {
        size_t rest = text.size() - at;
        auto *source = reinterpret_cast<unsigned char *>(text.data() + at);
        auto *target = reinterpret_cast<unsigned char *>(buffer.data());
        int done = call([&] {
            return pg_do_encoding_conversion_buf(conversion, encoding, PG_UTF8, source,
                                                 static_cast<int>(rest), target,
                                                 static_cast<int>(buffer.size()), true);
        });
        utf8.append(buffer.c_str());
        at += static_cast<size_t>(done);
        if (at < text.size()) { // stopped at a character without an equivalent
            utf8.push_back('?');
            at += static_cast<size_t>(
                std::max(valid_character(encoding, text.c_str() + at, text.size() - at), 1));
        }
    }
    return utf8;
}

} // namespace

std::string to_utf8(const char *text) {
    int encoding = GetDatabaseEncoding();
    std::string copy = text;
    if (encoding == PG_UTF8)
        return copy;
    bool ascii = std::all_of(copy.begin(), copy.end(),
                             [](char c) { return static_cast<unsigned char>(c) < 0x80; });
    if (ascii)
        return copy;
    return encoding == PG_SQL_ASCII ? without_invalid_utf8(copy)
                                    : converted_to_utf8(std::move(copy), encoding);
}

std::string to_utf8(const std::string &text) {
    return to_utf8(text.c_str());
}

std::string_view to_utf8(const char *text, std::string &converted) {
    if (GetDatabaseEncoding() == PG_UTF8)
        return text;
    converted = to_utf8(text);
    return converted;
}

} // namespace rtd::pg
