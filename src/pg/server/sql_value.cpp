#include "pg/server/sql_value.h"

#include "pg/server/prelude.h"

extern "C" {
#include "utils/array.h"
}

namespace rtd::pg {

Value text_value(const std::optional<std::string> &text) {
    if (!text)
        return {TEXTOID, 0, true};
    return {TEXTOID, call([&] {
                return PointerGetDatum(
                    cstring_to_text_with_len(text->data(), static_cast<int>(text->size())));
            }),
            false};
}

Value texts_value(const TextList &texts) {
    auto allocate = [&](size_t size) { return call([&] { return palloc(size + 1); }); };
    auto *datums = static_cast<Datum *>(allocate(texts.size() * sizeof(Datum)));
    auto *nulls = static_cast<bool *>(allocate(texts.size()));
    for (size_t i = 0; i < texts.size(); i++) {
        Value element = text_value(texts[i]);
        datums[i] = element.datum;
        nulls[i] = element.null;
    }
    int count = static_cast<int>(texts.size());
    return {TEXTARRAYOID, call([&] {
                int dimension = count, lower_bound = 1;
                if (count == 0)
                    return PointerGetDatum(construct_empty_array(TEXTOID));
                return PointerGetDatum(construct_md_array(
                    datums, nulls, 1, &dimension, &lower_bound, TEXTOID, -1, false, TYPALIGN_INT));
            }),
            false};
}

Value texts_value(const std::vector<std::string> &texts) {
    return texts_value(TextList(texts.begin(), texts.end()));
}

Value bytes_value(const std::string &bytes) {
    Value value = text_value(bytes); // the same to the server: a length, and bytes
    value.type = BYTEAOID;
    return value;
}

Value oid_value(Oid oid, Oid type) {
    return {type, ObjectIdGetDatum(oid), false};
}
Value integer_value(int32 integer) {
    return {INT4OID, Int32GetDatum(integer), false};
}
Value long_value(int64 integer) {
    return {INT8OID, Int64GetDatum(integer), false};
}
Value boolean_value(bool boolean) {
    return {BOOLOID, BoolGetDatum(boolean), false};
}

} // namespace rtd::pg
