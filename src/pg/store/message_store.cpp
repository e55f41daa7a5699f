#include "pg/store/message_store.h"

#include <algorithm>
#include <map>

#include "core/envelope.h"
#include "pg/server/statement.h"
#include "pg/server/worker_transaction.h"
#include "pg/store/message_slot.h"

#include "pg/server/prelude.h"

extern "C" {
#include "access/xact.h"
#include "access/xlog.h"
}

namespace rtd::pg {

namespace {

// What one job moves at most; a single message may be larger.
constexpr size_t kMostRows = 1000;
constexpr uint64_t kMostBytes = 4 << 20;
// Up to so many ids, planning would take longer than a plan for ten of them.
constexpr size_t kFewIds = 50;
// Who resumes from before so many changes of the timeline is told of a gap.
constexpr int kMostFormerEpochs = 32;
// How long numbering waits for a lock before it looks whose it is.
constexpr int kNumberingWaitMs = 50;

std::vector<Row> run(const std::string &schema, const std::string &statement,
                     const std::vector<Value> &values) {
    Home home = home_in(schema);
    return Statement(home, statement).run(values).rows;
}

// Its parameters are text, which the statement casts.
std::vector<Row> run(const std::string &schema, const std::string &statement,
                     const std::vector<std::optional<std::string>> &args) {
    std::vector<Value> values;
    for (const std::optional<std::string> &arg : args)
        values.push_back(text_value(arg));
    return run(schema, statement, values);
}

const std::string &text(const Row &row, size_t column) {
    return row.at(column).text.value();
}

uint64_t number(const Row &row, size_t column) {
    return std::stoull(text(row, column));
}

std::string ids_literal(const std::vector<uint64_t> &ids) {
    std::string literal = "{";
    for (uint64_t id : ids)
        literal += (literal.size() > 1 ? "," : "") + std::to_string(id);
    return literal + "}";
}

// Rows of a topic that was dropped, or is not durable any more, get no number; `m` is the message.
// A namesake that was created later has nothing to do with them.
constexpr char kOfDurableTopic[] =
    " JOIN @.rtd_topic t ON t.name = m.topic AND t.durable AND m.created_at >= t.created_at"
    " AND cardinality(t.parameters) = cardinality(m.params)"
    " AND coalesce(array_ndims(m.params), 1) = 1 ";

// The path of a message's instance. Concatenation fails for arrays of more dimensions, which
// somebody must have written by hand, and may be asked before the condition above.
constexpr char kPath[] =
    "CASE WHEN coalesce(array_ndims(m.params), 1) = 1 THEN m.topic || m.params END";

// `w`: the wanted rows' ids, each with its place, $1 being an array; `m`: the one of them that
// still has no number. Each is looked up by its id, however many others wait: OFFSET keeps a
// planner that expects few rows from reading them all, for every id.
constexpr char kWanted[] =
    " FROM (SELECT id, min(position) AS position"
    "  FROM unnest($1::bigint[]) WITH ORDINALITY AS u (id, position) GROUP BY id) w"
    " CROSS JOIN LATERAL (SELECT tableoid, ctid, * FROM @.rtd_message"
    "  WHERE id = w.id AND sequence IS NULL OFFSET 0) m";

constexpr char kNewEpoch[] = "(SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)";

// NULL where it is infinite.
constexpr char kMicroseconds[] = "CASE WHEN isfinite(created_at)"
                                 " THEN (extract(epoch FROM created_at) * 1000000)::bigint END";

void set_local(const char *setting, const char *value) {
    call([&] {
        set_config_option(setting, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0,
                          false);
    });
}

// Plans are kept, and the first ones are made while the tables are empty and have no statistics:
// what they read must be found by index nevertheless.
void plan_for_large_tables() {
    set_local("enable_seqscan", "off");
    set_local("random_page_cost", "0");
    set_local("jit", "off");
}

// A kept plan expects ten ids. Where there are many, a join that compares each with each costs more
// than to plan anew.
void plan_for(size_t ids) {
    set_local("plan_cache_mode", ids > kFewIds ? "force_custom_plan" : "auto");
}

// ---- number ----

struct Unnumbered {
    std::vector<uint64_t> ids;
    bool has_for_many = false;
};

// Of this topic; empty: of all.
Unnumbered find_unnumbered(const std::string &schema, const std::string &topic) {
    Unnumbered found;
    set_local("enable_sort", "off"); // the first ones are wanted, not all in order
    for (const Row &row :
         run(schema,
             std::string("SELECT id, for_many::int FROM ("
                         " SELECT id, for_many, own,"
                         " sum(own) OVER (ORDER BY id) AS bytes FROM ("
                         "  SELECT m.id, octet_length(m.data::text) AS own,"
                         "  array_position(m.params, NULL) IS NOT NULL AS for_many"
                         "  FROM @.rtd_message m") +
                 kOfDurableTopic +
                 "  WHERE m.sequence IS NULL AND ($3 = '' OR m.topic = $3)"
                 "  ORDER BY m.id LIMIT $1) unnumbered) summed"
                 " WHERE bytes - own < $2 ORDER BY id",
             std::vector{integer_value(kMostRows), long_value(kMostBytes), text_value(topic)})) {
        found.ids.push_back(number(row, 0));
        found.has_for_many = found.has_for_many || number(row, 1) != 0;
    }
    set_local("enable_sort", "on");
    return found;
}

// A message for many instances becomes one row for each that ever had a message, in its place.
std::vector<uint64_t> expand(const std::string &schema, const std::vector<uint64_t> &ids) {
    std::vector<uint64_t> expanded;
    for (uint64_t id : ids) {
        std::string row = std::to_string(id);
        bool for_many = !run(schema,
                             "SELECT FROM @.rtd_message WHERE id = $1::bigint"
                             " AND sequence IS NULL AND array_position(params, NULL) IS NOT NULL",
                             {row})
                             .empty();
        if (!for_many) {
            expanded.push_back(id);
            continue;
        }
        for (const Row &made :
             run(schema,
                 "INSERT INTO @.rtd_message (slot, topic, params, type, source, data, created_at)"
                 " SELECT m.slot, m.topic, i.path[2:], m.type, m.source, m.data, m.created_at"
                 " FROM @.rtd_message m JOIN @.rtd_durable_instance i ON i.topic = m.topic"
                 " AND cardinality(i.path) = cardinality(m.params) + 1"
                 " WHERE m.id = $1::bigint AND m.sequence IS NULL AND NOT EXISTS ("
                 "  SELECT FROM unnest(m.params, i.path[2:]) AS p (wanted, has)"
                 "  WHERE wanted <> has) RETURNING id",
                 {row}))
            expanded.push_back(number(made, 0));
        run(schema, "DELETE FROM @.rtd_message WHERE id = $1::bigint AND sequence IS NULL", {row});
    }
    return expanded;
}

// Another server may have gone on with the numbers from where this timeline parted from its own.
void begin_epoch(const std::string &schema, const std::string &ids, const std::string &timeline) {
    run(schema,
        std::string("UPDATE @.rtd_durable_instance i SET timeline = $2::bigint,"
                    " epoch = greatest(epoch + 1, ") +
            kNewEpoch +
            "), former_epochs = (former_epochs || epoch)"
            "  [greatest(cardinality(former_epochs) + 2 - $3::int, 1):],"
            " former_newest = (former_newest || sequence)"
            "  [greatest(cardinality(former_newest) + 2 - $3::int, 1):]"
            " WHERE i.timeline <> $2::bigint AND i.path IN (SELECT " +
            kPath + kWanted + ")",
        {ids, timeline, std::to_string(kMostFormerEpochs)});
}

// Also makes sure that no other worker numbers them, and that what one has done is seen.
void lock_instances(const std::string &schema, const std::string &ids) {
    std::string timeline = std::to_string(GetWALInsertionTimeLine());
    run(schema,
        std::string("INSERT INTO @.rtd_durable_instance (topic, path, epoch, timeline, sequence)"
                    " SELECT DISTINCT m.topic, ") +
            kPath + ", " + kNewEpoch + ", $2::bigint, 0" + kWanted + kOfDurableTopic +
            " WHERE NOT EXISTS (SELECT FROM @.rtd_durable_instance i"
            "  WHERE i.path = " +
            kPath + ") ON CONFLICT DO NOTHING",
        {ids, timeline});
    bool is_of_other = false;
    for (const Row &row :
         run(schema,
             std::string("SELECT (i.timeline <> $2::bigint)::int FROM @.rtd_durable_instance i"
                         " WHERE i.path IN (SELECT ") +
                 kPath + kWanted + ") ORDER BY i.id FOR NO KEY UPDATE",
             {ids, timeline}))
        is_of_other = is_of_other || number(row, 0) != 0;
    if (is_of_other)
        begin_epoch(schema, ids, timeline);
}

// nullopt for a row that somebody changed by hand so that it is no message any more: its number is
// missing then, which is told as a gap.
std::optional<NumberedMessage> numbered_message(const std::string &topic,
                                                std::vector<std::string> params, uint64_t epoch,
                                                uint64_t former_epoch, const Row &row,
                                                size_t column) {
    for (size_t needed = column; needed <= column + 4; needed++)
        if (!row.at(needed).text)
            return std::nullopt;
    NumberedMessage message{topic, std::move(params), epoch, former_epoch, number(row, column), {}};
    std::string id = message_id(epoch, message.sequence);
    message.body = to_json({.type = text(row, column + 1),
                            .data = text(row, column + 3),
                            .timestamp_us = std::stoll(text(row, column + 4)),
                            .source = text(row, column + 2),
                            .topic = topic,
                            .params = &message.params,
                            .id = id,
                            .kind = text(row, column + 1) == kGapType ? "gap" : "event"});
    return message;
}

NumberOutcome give_numbers(const std::string &schema, const NumberJob &job) {
    // Who was sent a message knows its id: it must survive a crash, whatever the server's setting.
    if (synchronous_commit == SYNCHRONOUS_COMMIT_OFF)
        call([] {
            set_config_option("synchronous_commit", "local", PGC_SUSET, PGC_S_OVERRIDE,
                              GUC_ACTION_LOCAL, true, 0, false);
        });
    NumberOutcome outcome;
    std::vector<uint64_t> wanted = job.rows;
    bool expands = job.expands;
    if (job.rows.empty()) {
        Unnumbered found = find_unnumbered(schema, job.topic);
        outcome.is_partial = !found.ids.empty(); // until there are none
        expands = found.has_for_many;
        wanted = std::move(found.ids);
    }
    if (expands)
        wanted = expand(schema, wanted);
    if (wanted.empty())
        return outcome;
    std::string ids = ids_literal(wanted);
    plan_for(wanted.size());
    lock_instances(schema, ids);
    for (const Row &row :
         run(schema,
             std::string(
                 "WITH wanted AS MATERIALIZED ("
                 " SELECT m.tableoid, m.ctid, w.position, t.type, i.id AS instance, i.epoch,"
                 " coalesce(i.former_epochs[cardinality(i.former_epochs)], 0) AS former_epoch, "
                 "i.sequence"
                 "  + row_number() OVER (PARTITION BY i.id ORDER BY w.position) AS sequence") +
                 kWanted + kOfDurableTopic + " JOIN @.rtd_durable_instance i ON i.path = " + kPath +
                 "), numbered AS ("
                 " UPDATE @.rtd_message m SET instance = w.instance, sequence = w.sequence,"
                 "  type = coalesce(m.type, w.type) FROM wanted w"
                 " WHERE m.ctid = w.ctid AND m.tableoid = w.tableoid AND m.sequence IS NULL"
                 " RETURNING w.position, w.epoch, w.former_epoch, m.*"
                 "), newest AS ("
                 " UPDATE @.rtd_durable_instance i SET sequence = n.sequence FROM ("
                 "  SELECT instance, max(sequence) AS sequence FROM numbered GROUP BY instance) n"
                 " WHERE i.id = n.instance"
                 ") SELECT topic, to_json(params), epoch, former_epoch, sequence, type, source, "
                 "data, " +
                 kMicroseconds + " FROM numbered ORDER BY position",
             {ids}))
        if (std::optional<NumberedMessage> message = numbered_message(
                text(row, 0), json_strings(text(row, 1)), number(row, 2), number(row, 3), row, 4))
            outcome.messages.push_back(std::move(*message));
    return outcome;
}

NumberOutcome run_number_job(const std::string &schema, const NumberJob &job) {
    NumberOutcome outcome;
    in_transaction([&] {
        plan_for_large_tables();
        set_local("lock_timeout", lock_wait(kNumberingWaitMs).c_str());
        outcome = give_numbers(schema, job);
    });
    return outcome;
}

// ---- read ----

std::vector<FormerEpoch> former_epochs(const Row &row, size_t column) {
    std::vector<FormerEpoch> former;
    std::vector<std::string> newest = json_strings(text(row, column + 1));
    for (const std::string &epoch : json_strings(text(row, column)))
        if (former.size() < newest.size())
            former.push_back({std::stoull(epoch), std::stoull(newest[former.size()])});
    return former;
}

// Under the id that it was sent with.
std::optional<NumberedMessage> read_message(const ReadJob &job, const ReadOutcome &outcome,
                                            const Row &row) {
    uint64_t epoch = outcome.epoch, former_epoch = 0;
    for (const FormerEpoch &former : outcome.former) {
        if (row.at(0).text && number(row, 0) <= former.newest) {
            epoch = former.epoch;
            break;
        }
        former_epoch = former.epoch;
    }
    return numbered_message(job.topic, job.params, epoch, former_epoch, row, 0);
}

ReadOutcome read_kept(const std::string &schema, const ReadJob &job) {
    ReadOutcome outcome;
    outcome.instance = job.instance;
    outcome.after = job.after;
    outcome.oldest = 1;
    std::vector<std::string> path = {job.topic};
    path.insert(path.end(), job.params.begin(), job.params.end());
    std::vector<Row> instances =
        run(schema,
            "SELECT i.id, i.epoch, i.sequence, coalesce((SELECT min(m.sequence)"
            "  FROM @.rtd_message m WHERE m.instance = i.id AND m.sequence IS NOT NULL),"
            "  i.sequence + 1), to_json(i.former_epochs::text[]), to_json(i.former_newest::text[])"
            " FROM @.rtd_durable_instance i WHERE i.path = $1",
            std::vector{texts_value(path)});
    if (instances.empty())
        return outcome;
    outcome.epoch = number(instances[0], 1);
    outcome.newest = number(instances[0], 2);
    outcome.oldest = number(instances[0], 3);
    outcome.former = former_epochs(instances[0], 4);
    // More may be numbered between the two statements: it is for the next time.
    std::string direction = job.after ? "ASC" : "DESC";
    for (const Row &row :
         run(schema,
             "SELECT sequence, type, source, data, " + std::string(kMicroseconds) +
                 " FROM (SELECT *, sum(own) OVER (ORDER BY sequence " + direction +
                 ") AS bytes FROM ("
                 "  SELECT *, octet_length(data::text) AS own FROM @.rtd_message"
                 "  WHERE instance = $1::bigint AND sequence IS NOT NULL"
                 "  AND sequence > $2::bigint AND sequence <= $5::bigint ORDER BY sequence " +
                 direction +
                 " LIMIT $3::int) kept) summed"
                 " WHERE bytes - own < $4::bigint ORDER BY sequence",
             {text(instances[0], 0), std::to_string(job.after.value_or(0)),
              std::to_string(job.after ? kMostRows : job.most), std::to_string(kMostBytes),
              std::to_string(outcome.newest)}))
        if (std::optional<NumberedMessage> message = read_message(job, outcome, row))
            outcome.messages.push_back(std::move(*message));
    return outcome;
}

// ---- expire ----

bool has_row(const std::string &schema, const std::string &partition, const std::string &condition,
             const std::vector<Value> &values = {}) {
    return !run(schema, "SELECT FROM @." + partition + condition + " LIMIT 1", values).empty();
}

// What a transaction wrote that lasted longer than the retention is sent before it goes.
bool has_unsent(const std::string &schema, const std::string &partition) {
    return has_row(schema, partition + " m",
                   std::string(kOfDurableTopic) + " WHERE m.sequence IS NULL");
}

// False if messages are left in it. Throws if somebody else has a lock on it.
bool empty_partition(const std::string &schema, const std::string &partition,
                     int64_t retention_ms) {
    auto has_young = [&] {
        return has_row(schema, partition,
                       " WHERE created_at > clock_timestamp() - $1 * interval '1 ms'",
                       {long_value(retention_ms)});
    };
    if (!has_row(schema, partition, ""))
        return true;
    if (has_young() || has_unsent(schema, partition))
        return false;
    run(schema, "LOCK TABLE ONLY @." + partition + " IN ACCESS EXCLUSIVE MODE NOWAIT",
        std::vector<Value>{});
    if (has_young() || has_unsent(schema, partition))
        return false; // committed meanwhile
    run(schema, "TRUNCATE ONLY @." + partition, std::vector<Value>{});
    return true;
}

ExpireOutcome expire(const std::string &schema, const ExpireJob &job) {
    ExpireOutcome outcome;
    int current = message_slot(GetCurrentTimestamp());
    for (int slot = 0; slot < kMessageSlots; slot++) {
        std::string partition = "rtd_message_" + std::to_string(slot);
        bool is_empty = false;
        try {
            in_own_transaction([&] {
                set_local("synchronous_commit", "local"); // nothing is promised by it
                is_empty = slot == current ? !has_row(schema, partition, "")
                                           : empty_partition(schema, partition, job.retention_ms);
            });
        } catch (const Error &error) {
            if (!is_of_lock(error.sqlstate()))
                throw;
        }
        outcome.has_messages = outcome.has_messages || !is_empty;
    }
    return outcome;
}

// ---- store ----

// Of a lost event that names no parameters a gap in every instance.
StoredRow insert_message(const std::string &schema, const Event &event) {
    bool is_for_all = event.kind == EventKind::lost && event.params.empty();
    TimestampTz now = GetCurrentTimestamp();
    std::vector<Row> inserted =
        run(schema,
            "INSERT INTO @.rtd_message (slot, topic, params, type, source, data)"
            " SELECT $1::smallint, name, CASE WHEN $2 IS NULL THEN"
            "  array_fill(NULL::text, ARRAY[cardinality(parameters)]) ELSE $2 END,"
            "  $3, $4, $5::json FROM @.rtd_topic WHERE name = $6 RETURNING id",
            {integer_value(message_slot(now)),
             is_for_all ? Value{TEXTARRAYOID, 0, true} : texts_value(event.params),
             text_value(event.kind == EventKind::lost ? std::optional(std::string(kGapType))
                                                      : std::nullopt),
             text_value(event.source.empty() ? "event" : event.source), text_value(event.payload),
             text_value(event.topic)});
    if (inserted.empty())
        return {}; // the topic is gone
    return {number(inserted.at(0), 0), event.payload.size(), is_for_all || is_for_many(event)};
}

} // namespace

LogOutcome run_log_job(const std::string &schema, const LogJob &job) {
    if (const auto *expire_job = std::get_if<ExpireJob>(&job))
        return expire(schema, *expire_job);
    if (const auto *number_job = std::get_if<NumberJob>(&job))
        return run_number_job(schema, *number_job);
    LogOutcome outcome;
    in_own_transaction([&] {
        plan_for_large_tables();
        outcome = read_kept(schema, std::get<ReadJob>(job));
    });
    return outcome;
}

std::vector<Event> store_events(const std::string &schema, const std::vector<Event> &events) {
    std::vector<Event> stored;
    in_own_transaction([&] {
        call([] {
            set_config_option("synchronous_commit", "off", PGC_SUSET, PGC_S_OVERRIDE,
                              GUC_ACTION_LOCAL, true, 0, false);
        });
        for (const Event &event : events) {
            StoredRow inserted = insert_message(schema, event);
            if (inserted.id == 0)
                continue;
            Event &row = stored.emplace_back();
            row.kind = EventKind::stored;
            row.topic = event.topic;
            row.origin = event.origin;
            row.payload = stored_payload(inserted);
        }
    });
    return stored;
}

} // namespace rtd::pg
