// See text_bound.h. The growth of a type is that of its worst value: a numeric of seven bytes can
// have 147,456 digits, a NULL in an array is one bit and five characters, a control character in
// JSON has six.
#include "pg/value/text_bound.h"

#include "pg/server/settings.h"

#include "pg/server/prelude.h"

extern "C" {
#include "access/detoast.h"
#include "access/htup_details.h"
#include "access/transam.h"
#include "parser/parse_coerce.h"
#include "utils/datum.h"
}

namespace rtd::pg {

namespace {

constexpr uint32 kGrowthOfText = 16;
constexpr uint32 kGrowthOfLabels = 128; // an enum: four bytes, 63 of a name
constexpr uint32 kGrowthOfArrays = 48;
constexpr uint32 kGrowthOfNumbers = 22'000;

constexpr TextBound kUntrusted{false, true, false, 1};

// to_json() calls a cast that a user made for a type of a user.
bool has_cast_to_json(Oid type) {
    Oid function = InvalidOid;
    return find_coercion_pathway(JSONOID, type, COERCION_EXPLICIT, &function) ==
               COERCION_PATH_FUNC &&
           OidIsValid(function);
}

TextBound bound_of_builtin(Oid type) {
    switch (type) {
    case TEXTOID:
    case VARCHAROID:
    case BYTEAOID:
    case XMLOID:
        return {true, false, true, kGrowthOfText};
    case JSONOID:
        return {true, true, true, kGrowthOfText};
    case NUMERICOID:
    case JSONBOID:
    case JSONPATHOID:
    case NUMRANGEOID:
    case NUMMULTIRANGEOID:
        return {true, false, false, kGrowthOfNumbers};
    default:
        return {true, false, false, kGrowthOfText};
    }
}

} // namespace

TextBound text_bound(Oid type) {
    Oid base = getBaseType(type);
    if (type_is_rowtype(base))
        return kUntrusted; // its members may be of any type, and change
    Oid element = get_element_type(base);
    if (OidIsValid(element)) {
        TextBound bound = text_bound(element);
        bound.is_verbatim = false;
        bound.most_growth = Max(bound.most_growth, kGrowthOfArrays);
        return bound;
    }
    if (base < FirstNormalObjectId)
        return bound_of_builtin(base);
    if (type_is_enum(base) && !has_cast_to_json(base))
        return {true, false, false, kGrowthOfLabels};
    return kUntrusted;
}

size_t stored_bytes(Datum value, int16 length) {
    if (length > 0)
        return static_cast<size_t>(length);
    if (length == -1)
        return toast_raw_datum_size(value) - VARHDRSZ;
    return strlen(DatumGetCString(value));
}

size_t stored_bytes(HeapTuple row, AttrNumber attribute, TupleDesc description) {
    bool is_null = false;
    Datum value = heap_getattr(row, attribute, description, &is_null);
    return is_null ? 0 : stored_bytes(value, TupleDescAttr(description, attribute - 1)->attlen);
}

namespace {

bool is_same_stored_value(Datum before, Datum after) {
    const void *old_value = DatumGetPointer(before), *new_value = DatumGetPointer(after);
    if (!VARATT_IS_EXTERNAL_ONDISK(old_value) || !VARATT_IS_EXTERNAL_ONDISK(new_value))
        return false;
    varatt_external old_place, new_place;
    memcpy(&old_place, VARDATA_1B_E(old_value), sizeof old_place);
    memcpy(&new_place, VARDATA_1B_E(new_value), sizeof new_place);
    return old_place.va_valueid == new_place.va_valueid &&
           old_place.va_toastrelid == new_place.va_toastrelid;
}

} // namespace

bool value_changed(Datum before, Datum after, Form_pg_attribute attribute) {
    if (attribute->attlen == -1) {
        if (is_same_stored_value(before, after))
            return false;
        size_t bytes = toast_raw_datum_size(before);
        if (bytes != toast_raw_datum_size(after) ||
            bytes / 1024 > static_cast<size_t>(max_message_kilobytes))
            return true;
    }
    return !datum_image_eq(before, after, attribute->attbyval, attribute->attlen);
}

} // namespace rtd::pg
