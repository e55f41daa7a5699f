#include "pg/value/output_settings.h"

#include "pg/server/boundary.h"

#include "pg/server/prelude.h"

extern "C" {
#include "catalog/pg_type.h"
#include "pgtime.h"
#include "utils/bytea.h"
#include "utils/float.h"
}

namespace rtd::pg {

namespace {

constexpr unsigned kAnyTimes = kTimes | kStyles;

// Whether a setting that `dependence` names has another value than the wanted one.
bool has_other_times(unsigned dependence) {
    return ((dependence & kAnyTimes) != 0 &&
            (DateStyle != USE_ISO_DATES || DateOrder != DATEORDER_MDY)) ||
           ((dependence & kTimes) != 0 &&
            strcmp(pg_get_timezone_name(session_timezone), "UTC") != 0);
}

bool has_other_names(unsigned dependence) {
    return (dependence & kNames) != 0 &&
           (quote_all_identifiers || strcmp(namespace_search_path, "pg_catalog") != 0);
}

bool has_other_settings(unsigned dependence) {
    return has_other_times(dependence) ||
           ((dependence & (kIntervals | kStyles)) != 0 && IntervalStyle != INTSTYLE_POSTGRES) ||
           ((dependence & (kFloats | kStyles)) != 0 && extra_float_digits != 1) ||
           ((dependence & (kBytes | kStyles)) != 0 && bytea_output != BYTEA_OUTPUT_HEX) ||
           ((dependence & (kMoney | kStyles)) != 0 &&
            strcmp(GetConfigOption("lc_monetary", false, false), "C") != 0) ||
           has_other_names(dependence);
}

void set(const char *setting, const char *value) {
    (void)set_config_option(setting, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
                            false);
}

unsigned dependence_of_container(Oid type) {
    Oid element = get_base_element_type(type);
    if (!OidIsValid(element))
        element = get_range_subtype(type);
    if (!OidIsValid(element) && OidIsValid(get_multirange_range(type)))
        element = get_range_subtype(get_multirange_range(type));
    if (OidIsValid(element))
        return dependence_of_text(element);
    char category = TYPCATEGORY_USER;
    bool is_preferred = false;
    get_type_category_preferred(type, &category, &is_preferred);
    if (type_is_enum(type) || category == TYPCATEGORY_STRING)
        return kNothing;
    // A search_path is dear to set, and what an extension's type writes names no objects.
    return type_is_rowtype(type) ? kEverything : kEverything & ~kNames;
}

} // namespace

bool is_name_of_object(Oid type) {
    switch (type) {
    case REGCLASSOID:
    case REGPROCOID:
    case REGPROCEDUREOID:
    case REGOPEROID:
    case REGOPERATOROID:
    case REGTYPEOID:
    case REGCONFIGOID:
    case REGDICTIONARYOID:
    case REGNAMESPACEOID:
    case REGCOLLATIONOID:
    case REGROLEOID:
        return true;
    default:
        return false;
    }
}

unsigned dependence_of_text(Oid type) {
    switch (getBaseType(type)) {
    case BOOLOID:
    case INT2OID:
    case INT4OID:
    case INT8OID:
    case NUMERICOID:
    case OIDOID:
    case TEXTOID:
    case VARCHAROID:
    case BPCHAROID:
    case NAMEOID:
    case CHAROID:
    case UUIDOID:
    case JSONOID:
    case JSONBOID:
    case TIMEOID:
    case INETOID:
    case CIDROID:
    case MACADDROID:
    case MACADDR8OID:
    case BITOID:
    case VARBITOID:
    case PG_LSNOID:
    case XIDOID:
    case TIDOID:
    case TSVECTOROID:
        return kNothing;
    case DATEOID:
    case TIMESTAMPOID:
    case TIMESTAMPTZOID:
    case TIMETZOID: // what is written without a zone
        return kTimes;
    case INTERVALOID:
        return kIntervals;
    case FLOAT4OID:
    case FLOAT8OID:
        return kFloats;
    case BYTEAOID:
        return kBytes;
    case CASHOID:
        return kMoney;
    case ACLITEMOID:
        return kNames;
    default:
        return is_name_of_object(getBaseType(type)) ? kNames
                                                    : dependence_of_container(getBaseType(type));
    }
}

unsigned dependence_of_json(Oid type) {
    switch (getBaseType(type)) {
    case DATEOID:
    case TIMESTAMPOID:
        return kNothing;
    default:
        return dependence_of_text(type);
    }
}

void OutputSettings::fix(unsigned dependence) {
    if (!has_other_settings(dependence))
        return;
    nest_level_ = NewGUCNestLevel();
    auto set_if = [&](unsigned which, const char *setting, const char *value) {
        if ((dependence & which) != 0)
            call([&] { set(setting, value); });
    };
    set_if(kAnyTimes, "DateStyle", "ISO, MDY");
    set_if(kTimes, "TimeZone", "UTC");
    set_if(kIntervals | kStyles, "IntervalStyle", "postgres");
    set_if(kFloats | kStyles, "extra_float_digits", "1");
    set_if(kBytes | kStyles, "bytea_output", "hex");
    set_if(kMoney | kStyles, "lc_monetary", "C");
    set_if(kNames, "quote_all_identifiers", "off");
    set_if(kNames, "search_path", "pg_catalog");
}

OutputSettings::~OutputSettings() {
    if (nest_level_ > 0)
        AtEOXact_GUC(false, nest_level_); // with what code of a type set meanwhile
}

} // namespace rtd::pg
