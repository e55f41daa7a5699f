// Settings that hold while an object lives. Whatever is set meanwhile, by whomever and for however
// long (`set_config(.., false)` in a function that planning a query runs), is undone with them.
//
// In a transaction. An error that leaves the scope by an exception undoes it too.
#pragma once
#include "core/fence.h"

#include "pg/server/prelude.h"

namespace rtd::pg {

// What names mean in rtd's own statements. Nobody but a superuser can create anything in
// pg_catalog; pg_temp is named so that it comes last, where no temporary table hides another.
inline constexpr char kOwnSearchPath[] = "pg_catalog, pg_temp";

class SettingScope {
  public:
    SettingScope() : nest_level_(NewGUCNestLevel()) {}
    // Not as committed: that would keep what others set for the session.
    ~SettingScope() { AtEOXact_GUC(false, nest_level_); }
    SettingScope(const SettingScope &) = delete;
    SettingScope &operator=(const SettingScope &) = delete;

    void set(const char *setting, const char *value);
    // Also one that only superusers may set, whoever the caller is.
    void set_for_all(const char *setting, const char *value);

  private:
    int nest_level_;
};

// Sets search_path while it lives.
class SearchPath {
  public:
    explicit SearchPath(const char *value) { scope_.set("search_path", value); }

  private:
    SettingScope scope_;
};

} // namespace rtd::pg
