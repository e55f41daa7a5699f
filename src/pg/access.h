// Access: may this client subscribe to this topic? Asked in the hub, for every subscription and
// again after every change of grants. Answers are kept for one turn, so that a crowd that connects
// at once costs one look into the server's role catalog.
#pragma once
#include "core/link.h"
#include "core/topic.h"
#include "pg/catalog.h"

#include <map>
#include <optional>
#include <string>

namespace rtd::pg {

class Access {
  public:
    void begin_turn() { decisions_.clear(); }
    // Why not; nullopt if it may. Without a topic (the name is unknown): whether it may ask at all.
    std::optional<link::Ended> refuse(const Catalog &catalog, const Topic *topic);

  private:
    std::map<std::string, std::optional<link::Ended>> decisions_; // by topic; "" without one
};

} // namespace rtd::pg
