// OutputSettings: fixes the settings that the texts of some types depend on, so that a value has
// the same text in every session. A writer's DateStyle must change neither which instance an event
// is for nor its bytes. Used in backends, for those types only; query workers use it too.
#pragma once
#include "core/fence.h"

#include "pg/server/prelude.h"

namespace rtd::pg {

// What the text of a type depends on besides the value.
enum Dependence : unsigned {
    kNothing = 0,
    kTimes = 1,     // DateStyle, TimeZone
    kIntervals = 2, // IntervalStyle
    kFloats = 4,    // extra_float_digits
    kBytes = 8,     // bytea_output
    kMoney = 16,    // lc_monetary
    kNames = 32,    // search_path, quote_all_identifiers
    kEverything = 63,
    // How a query's result is written. Its time zone belongs to what the query means.
    kStyles = 64,
};

// The reg* types: the text of a value means, and is, what a search_path says.
bool is_name_of_object(Oid type);
// Of the type's output function. Inside call().
unsigned dependence_of_text(Oid type);
// Of to_json(), which writes dates and timestamps in a form of its own. Inside call().
unsigned dependence_of_json(Oid type);

// Inside a transaction. Costs a few comparisons where the settings are the wanted ones.
class OutputSettings {
  public:
    explicit OutputSettings(unsigned dependence) {
        if (dependence != kNothing) // of most types, for every row
            fix(dependence);
    }
    ~OutputSettings();
    OutputSettings(const OutputSettings &) = delete;
    OutputSettings &operator=(const OutputSettings &) = delete;

  private:
    void fix(unsigned dependence);

    int nest_level_ = 0;
};

} // namespace rtd::pg
