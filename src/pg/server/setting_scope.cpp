#include "pg/server/setting_scope.h"

#include "pg/server/boundary.h"

#include "pg/server/prelude.h"

namespace rtd::pg {

void SettingScope::set(const char *setting, const char *value) {
    call([&] {
        (void)set_config_option(setting, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true,
                                0, false);
    });
}

void SettingScope::set_for_all(const char *setting, const char *value) {
    call([&] {
        (void)set_config_option(setting, value, PGC_SUSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
                                false);
    });
}

} // namespace rtd::pg
