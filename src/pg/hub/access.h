// Access: who is this client, and may it subscribe or publish to this topic? Asked in the hub, for
// every subscription and again after every change of grants and roles; for every message that a
// client publishes before it waits for a query worker, which asks again. Answers are kept for one
// turn, so that a crowd that connects at once costs one look into the server's role catalog.
#pragma once
#include "core/link.h"
#include "pg/hub/topic_loader.h"
#include "router/identity.h"
#include "router/topic.h"

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <variant>

namespace rtd::pg {

class Access {
  public:
    void begin_turn() {
        anonymous_.reset();
        is_locked_ = false;
        decisions_.clear();
        publish_decisions_.clear();
    }
    // Of a client that does not sign in, at this moment: rtd.anonymous_role.
    std::variant<Identity, link::Ended> identify();
    // Why not; nullopt if it may. Without a topic (the name is unknown): whether it may ask at all.
    std::optional<link::Ended> refuse(const Catalog &catalog, const Identity &identity,
                                      const Topic *topic);
    std::optional<link::Ended> refuse_to_publish(const Catalog &catalog, const Identity &identity,
                                                 const Topic &topic);

  private:
    template <class Answer, class Ask> Answer ask(Ask body);

    std::optional<std::variant<Identity, link::Ended>> anonymous_;
    // By role and topic; "" without one.
    using Decisions = std::map<std::pair<uint32_t, std::string>, std::optional<link::Ended>>;
    Decisions decisions_, publish_decisions_;
    bool is_locked_ = false; // a catalog is, in this turn: nobody waits for it once more
};

} // namespace rtd::pg
