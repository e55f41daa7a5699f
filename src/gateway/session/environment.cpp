#include "gateway/session/environment.h"

#include "gateway/session/connection.h"

namespace rtd::net {

namespace {

constexpr uint64_t kHeadMs = 5'000;
constexpr uint64_t kUpgradeMs = 10;
constexpr uint64_t kAnswerMs = 20'000; // longer than /readyz may take
constexpr uint64_t kSnapshotMs = 10'000;
constexpr uint64_t kGoodbyeMs = 5'000;

void time_is_over(Connection &connection) {
    connection.time_is_over();
}

} // namespace

Environment::Environment(uv_loop_t *uv_loop, Hub &the_hub)
    : loop(uv_loop), hub(the_hub), poller(loop), connections(loop), refusals(loop, hub),
      heads(loop, kHeadMs, time_is_over), upgrades(loop, kUpgradeMs, time_is_over),
      answers(loop, kAnswerMs, time_is_over), snapshots(loop, kSnapshotMs, time_is_over),
      signs(loop, 0, time_is_over), goodbyes(loop, kGoodbyeMs, time_is_over) {}

} // namespace rtd::net
