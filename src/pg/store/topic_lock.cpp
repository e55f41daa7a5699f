#include "pg/store/topic_lock.h"

#include <optional>

#include "pg/server/attempt.h"
#include "pg/server/worker_settings.h"

#include "pg/server/prelude.h"

namespace rtd::pg {

namespace {

constexpr int kTopicWaitMs = 10;

std::set<std::string> names_found(const Home &home, const std::string &statement,
                                  const std::set<std::string> &names) {
    std::set<std::string> found;
    for (const Row &row :
         Statement(home, statement).run({texts_value(TextList(names.begin(), names.end()))}).rows)
        found.insert(row.at(0).text.value());
    return found;
}

// A row that was altered and then dropped in one transaction is waited for nevertheless: the server
// skips what locks the version that is found, not what locks a later one.
std::optional<std::set<std::string>> try_to_lock(const Home &home,
                                                 const std::set<std::string> &names) {
    std::set<std::string> locked;
    std::optional<Error> failure = attempt([&] {
        locked = names_found(home,
                             "SELECT name FROM @.rtd_topic WHERE name = ANY ($1)"
                             " FOR KEY SHARE SKIP LOCKED",
                             names);
    });
    if (failure && !is_of_lock(failure->sqlstate()))
        throw *failure;
    if (failure)
        return std::nullopt;
    return locked;
}

void set_lock_timeout(int most_ms) {
    std::string value = lock_wait(most_ms);
    call([&] {
        (void)set_config_option("lock_timeout", value.c_str(), PGC_USERSET, PGC_S_SESSION,
                                GUC_ACTION_LOCAL, true, 0, false);
    });
}

} // namespace

std::set<std::string> lock_topics(const Home &home, const std::set<std::string> &names) {
    set_lock_timeout(kTopicWaitMs);
    std::set<std::string> others =
        names_found(home, "SELECT name FROM @.rtd_topic WHERE name = ANY ($1)", names);
    auto take = [&](const std::set<std::string> &locked) {
        for (const std::string &name : locked)
            others.erase(name);
    };
    if (std::optional<std::set<std::string>> all = try_to_lock(home, others)) {
        take(*all);
    } else {
        for (const std::string &name : std::set<std::string>(others))
            if (std::optional<std::set<std::string>> one = try_to_lock(home, {name}))
                take(*one);
    }
    set_lock_timeout(kLockWaitMs);
    return others;
}

} // namespace rtd::pg
