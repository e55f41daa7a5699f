#include "pg/value/stored_parameter.h"

#include "pg/server/catalog_names.h"

#include "pg/server/prelude.h"

namespace rtd::pg {

ParameterType stored_parameter_type(const std::optional<std::string> &type,
                                    const std::optional<std::string> &collation) {
    Oid found = type ? type_named(*type) : InvalidOid;
    ParameterType parameter{OidIsValid(found) ? found : TEXTOID, InvalidOid, collation == "-"};
    if (collation && !parameter.is_matched) {
        parameter.collation = collation_named(*collation);
        parameter.is_matched = OidIsValid(parameter.collation);
    }
    return parameter;
}

} // namespace rtd::pg
