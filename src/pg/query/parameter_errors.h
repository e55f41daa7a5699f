// Whose fault a failed query is: a parameter's, which fails again whenever it is asked for, or a
// row's. A query that casts its parameter to the type it needs gets it as another one, mostly text;
// so the value is found wrong only while the query runs.
//
// Those of the query's expressions that are made of parameters and constants alone are evaluated by
// themselves. What fails there does not depend on any row. Functions count as constants if they are
// immutable, or stable and the server's own, as casts to dates are: others might read tables.
#pragma once
#include "core/fence.h"

#include <string>
#include <vector>

#include "pg/server/prelude.h"

namespace rtd::pg {

// Throws the error of the first such expression that fails, and says whether its parameters are to
// blame; an error of anything else is thrown too. LIMIT and OFFSET must not be negative either, and
// if the query's `failure` was a regular expression, the texts that it compares with are looked at
// as such. Under the role and search_path of the query, in a transaction of its own with an active
// snapshot, which must be aborted after an error.
void evaluate_parameters(const std::string &query, const std::vector<Oid> &types,
                         const std::vector<Datum> &values, int failure, bool &is_their_fault);

// Errors that a wrong value makes: data exceptions, and violations of a domain's constraints.
bool is_of_value(int sqlstate);

// Whether it is worth asking. Some values are parsed: to_tsquery('a b') is a syntax error.
bool may_be_of_parameters(int sqlstate);

} // namespace rtd::pg
