// KeyedInstance: an instance of a topic whose first message is all rows of a query and whose later
// ones say which rows were changed and removed. An event says "the row with this key may have
// changed" or "anything may have"; the query worker reads those rows, and what differs from what
// subscribers have is one message.
//
// A message is the difference between two snapshots of the database, exactly: a transaction shows
// whole or not at all. A query that was given the keys known when it started may see, in its
// snapshot, a transaction whose events came in later, and of which it reads one row and not the
// other. So its outcome is open: by then the events of every transaction that the snapshot shows
// are here, and the rows they name are read in the same snapshot before anything is sent. Those
// events may also be of transactions that the snapshot does not show; their keys stay dirty.
//
// The order of events is indifferent here, because rows are read and never taken from an event.
#pragma once
#include "core/fence.h"
#include "router/dirty_keys.h"
#include "router/keyed_rows.h"
#include "router/query_instance.h"

namespace rtd {

class KeyedInstance final : public QueryInstance {
  public:
    using QueryInstance::QueryInstance;

    size_t kept_bytes() const override;
    QueryJob start_query(Now now) override;
    std::optional<QueryJob> continue_query(const QueryOutcome &outcome) override;
    void finish_query(const QueryOutcome &outcome, Now now) override;

  protected:
    const Sent *first_message() override;
    void publish(const Event &event, Now now) override;
    void changed(const Event *event, Cause cause, Now now) override;
    void forget_result() override;
    void apply(const QueryOutcome &outcome, Now now) override;

  private:
    void start_over(const QueryOutcome &outcome, Now now);
    void send_delta(const std::string &delta, Now now);
    void send_snapshot(Now now);

    DirtyKeys dirty_;               // since the last query started
    KeySelection reading_;          // what the running query reads
    std::vector<KeyedRow> read_;    // what it has read, while it reads more
    std::optional<KeyedRows> rows_; // what subscribers have
    Sent snapshot_;                 // composed from them when somebody needs it
    Now changed_at_{};              // when they last changed
    std::string source_;            // of that change
};

} // namespace rtd
