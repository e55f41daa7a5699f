// rtd_trigger(): what runs when a watched table is written. In the writer's backend, so it is the
// one place where a mistake of ours would cost a user's transaction.
//
//   find    The watch of this trigger, kept in the backend: its row of rtd_watch, with column names
//           resolved to attributes of this very table. A relcache invalidation (DDL on the table,
//           or rtd_alter_topic()) makes the next firing read it again.
//   decide  An UPDATE that changes nothing makes no event. One that changes the key or a parameter
//           makes two: for the old row and for the new one. A trigger FOR EACH STATEMENT, which a
//           state topic has that needs no row (see watch.cpp), makes one if a row was written.
//   deliver To rtd (unless an equal event of a state topic is pending: then the payload is not even
//           built), to the NOTIFY channel, to the audit log.
//
// No SPI on the way of a row, except the INSERTs of an audited watch and of a durable topic. What
// went wrong with the watch itself (a column was renamed, the registration is gone) is a WARNING
// once per session and table, and the write goes on. So it does where a row cannot be carried (it
// is too large, a type's own code fails): then a state is queried all the same, and subscribers of
// an event topic get a gap in the row's place.
//
// Memory: a Watch owns a memory context under TopMemoryContext. Row data lives in the executor's
// per-tuple context, which is current here.
#include <functional>
#include <memory>
#include <unordered_map>
#include <unordered_set>

#include "core/json_text.h"
#include "core/request_path.h"
#include "pg/registry/registry.h"
#include "pg/registry/topic.h"
#include "pg/registry/watch_columns.h"
#include "pg/server/attempt.h"
#include "pg/server/settings.h"
#include "pg/value/parameter.h"
#include "pg/value/text_bound.h"
#include "pg/writer/audit.h"
#include "pg/writer/durable_event.h"
#include "pg/writer/notify.h"
#include "pg/writer/payload.h"
#include "pg/writer/pending_events.h"
#include "pg/writer/watch_lineage.h"
#include "router/repeated_event.h"

#include "pg/server/prelude.h"

extern "C" {
#include "access/htup_details.h"
#include "catalog/pg_am.h"
#include "commands/trigger.h"
#include "pgstat.h"
#include "utils/inval.h"
#include "utils/rel.h"
#include "utils/syscache.h"
}

namespace rtd::pg {

namespace {

// Longest value that tells which row of a keyed topic a change concerns: as much as 4 indexes hold.
constexpr size_t kMaxKeyBytes = 10'000;
constexpr int64 kRetryUs = 1'000'000; // of a registration that could not be read

struct ParameterColumn {
    AttrNumber attribute; // 0: unknown here, matches every value
    TextBound bound;
    ValueForm form;
};

struct Watch {
    explicit Watch(MemoryContext memory) : memory(memory) {}
    ~Watch() { MemoryContextDelete(memory); }
    Watch(const Watch &) = delete;
    Watch &operator=(const Watch &) = delete;

    MemoryContext memory;
    Oid relation = InvalidOid; // the table that was written
    Oid watched = InvalidOid;  // the same, or the partitioned table it belongs to
    bool valid = true;         // cleared by an invalidation
    bool registered = true;    // false: nothing to do, by rtd_watch
    TimestampTz failed_at = 0; // otherwise why not is not known: it could not be read

    std::string topic;
    uint64_t version = 0; // of the topic, whose key the columns below are
    bool has_query = false;
    bool is_durable = false;
    Delivery delivery = Delivery::if_subscribed;
    PayloadColumns payload;
    std::vector<ParameterColumn> parameters;
    std::vector<ParameterColumn> key; // of a keyed topic; empty: any of its rows may have changed
    uint64_t state_key = 0;           // of a topic with a query and without parameters
    PreparedEvent state_change;       // of the same: all its events without a key are equal
    RepeatedEvent row_event; // of an event topic without parameters: all but the payload is equal
    std::optional<std::string> channel;
    bool audit = false;
    std::string table;         // in the payload and in the log
    std::string audited_table; // with its schema
};

// shared_ptr, because an output function called for one row may write to a watched table itself,
// and find that the watch in use was invalidated.
using WatchPointer = std::shared_ptr<Watch>;
std::unordered_map<Oid, WatchPointer> *watches = nullptr; // by trigger
uint64_t invalidations = 0;

void forget(Datum, Oid relation) {
    invalidations++;
    for (auto &[trigger, watch] : *watches)
        if (!OidIsValid(relation) || relation == watch->relation || relation == watch->watched)
            watch->valid = false;
}

// The cast of a type to json decides how its values become JSON, and whether that can fail.
void forget_all(Datum, int, uint32) {
    forget(0, InvalidOid);
}

void warn_once(Oid relation, int sqlstate, const std::string &message, const std::string &detail,
               const std::string &hint) {
    static auto *warned = new std::unordered_set<Oid>();
    if (warned->insert(relation).second)
        warn(sqlstate, message, detail, hint);
}

// ---- find ----

using FormOfColumn = std::function<std::optional<ValueForm>(size_t parameter, Oid column)>;

void resolve_parameters(std::vector<ParameterColumn> &parameters, Relation relation,
                        const TextList &names, const FormOfColumn &form_of_column,
                        std::string &missing) {
    TupleDesc description = RelationGetDescr(relation);
    for (const std::optional<std::string> &name : names) {
        ParameterColumn parameter{};
        AttrNumber attribute = name ? find_attribute(description, *name) : AttrNumber(0);
        if (name && attribute == 0)
            missing += (missing.empty() ? "\"" : ", \"") + *name + "\"";
        if (attribute != 0) {
            Oid type = TupleDescAttr(description, attribute - 1)->atttypid;
            if (std::optional<ValueForm> form = form_of_column(parameters.size(), type)) {
                parameter.attribute = attribute;
                parameter.bound = call([&] { return text_bound(type); });
                parameter.form = *form;
            }
        }
        parameters.push_back(parameter);
    }
}

Event change_of(const Watch &watch) {
    Event event;
    event.kind = EventKind::change;
    event.topic = watch.topic;
    event.version = watch.version;
    event.origin = to_utf8(watch.table);
    event.source = "event";
    return event;
}

// Reads the registration. Sees what is committed by now even in an old snapshot, because the
// trigger itself was found that way.
WatchPointer read_watch(const TriggerData *data) {
    const Trigger *trigger = data->tg_trigger;
    Relation relation = data->tg_relation;
    std::string relation_name = RelationGetRelationName(relation);
    auto watch = std::make_shared<Watch>(call(
        [] { return AllocSetContextCreate(TopMemoryContext, "rtd watch", ALLOCSET_SMALL_SIZES); }));
    watch->relation = RelationGetRelid(relation);
    watch->topic = trigger->tgnargs == 1 ? trigger->tgargs[0] : "";

    Registry registry(trigger->tgfoid);
    Rows found = registry.run_fresh(
        "SELECT t.kind, t.retain, w.columns, w.parameters, w.channel, w.audit,"
        " c.relname, quote_ident(n.nspname) || '.' || quote_ident(c.relname), c.oid,"
        " coalesce(w.key, '{}'), t.durable, t.version, " +
            std::string(kIsSuperseded) +
            ", t.parameter_types, t.parameter_collations"
            " FROM @.rtd_watch w JOIN @.rtd_topic t ON t.name = w.topic"
            " JOIN pg_class c ON c.oid = w.relation JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE w.topic = $1 AND w.relation = ANY ($2::oid[])"
            " ORDER BY w.relation <> " +
            kTriggerOrigin + ", array_position($2::oid[], w.relation::oid) LIMIT 1",
        {text_value(watch->topic), texts_value(partition_lineage(relation)),
         oid_value(trigger->tgoid)});
    if (found.rows.empty()) {
        watch->registered = false;
        warn_once(watch->relation, ERRCODE_UNDEFINED_OBJECT,
                  "trigger \"" + std::string(trigger->tgname) + "\" of table \"" + relation_name +
                      "\" is not registered with rtd and does nothing",
                  {}, "Make it with rtd_watch_table(), or drop it.");
        return watch;
    }
    const Row &row = found.rows[0];
    watch->has_query = row[0].text != "event";
    watch->delivery = row[0].text == "keyed" ? Delivery::keyed_change
                      : watch->has_query     ? Delivery::state_change
                      : row[1].boolean()     ? Delivery::always
                                             : Delivery::if_subscribed;
    watch->channel = row[4].text;
    watch->audit = row[5].boolean();
    watch->table = row[6].text.value_or("");
    watch->audited_table = row[7].text.value_or("");
    watch->watched = row[8].oid();
    watch->is_durable = row[10].boolean();
    watch->version = std::stoull(row[11].text.value_or("0"));
    watch->registered = TRIGGER_FIRED_BY_TRUNCATE(data->tg_event) || !row[12].boolean();
    watch->state_key = instance_key(watch->topic, {});
    watch->state_change = prepare(change_of(*watch));
    watch->row_event = RepeatedEvent(change_of(*watch));

    std::string missing;
    watch->payload =
        resolve_columns(watch->memory, relation, row[2].elements, watch->table, missing);
    std::vector<ParameterType> types = parameter_types_of(row[13], row[14]);
    resolve_parameters(
        watch->parameters, relation, row[3].elements,
        [&](size_t parameter, Oid column) {
            return form_of_column(parameter < types.size() ? types[parameter] : ParameterType{},
                                  purpose_of(watch->has_query, watch->is_durable), column,
                                  watch->memory);
        },
        missing);
    std::string missing_key;
    resolve_parameters(
        watch->key, relation, row[9].elements,
        [&](size_t, Oid column) { return form_of({column}, Purpose::query, watch->memory); },
        missing_key);
    if (!missing_key.empty())
        watch->key.clear();
    if (!missing.empty())
        warn_once(watch->relation, ERRCODE_UNDEFINED_COLUMN,
                  "events of table \"" + relation_name + "\" for topic \"" + watch->topic +
                      "\" are incomplete",
                  "These columns do not exist any more: " + missing + ".",
                  "Call rtd_watch_table() again with the present columns.");
    return watch;
}

// A registration that cannot be read, perhaps because the library is newer than the extension,
// costs the table's events and not its writes.
WatchPointer try_to_read_watch(const TriggerData *data) {
    WatchPointer watch;
    std::optional<Error> failure = attempt([&] { watch = read_watch(data); });
    if (!failure)
        return watch;
    std::string table = RelationGetRelationName(data->tg_relation);
    watch = std::make_shared<Watch>(call(
        [] { return AllocSetContextCreate(TopMemoryContext, "rtd watch", ALLOCSET_SMALL_SIZES); }));
    watch->relation = RelationGetRelid(data->tg_relation);
    watch->topic = data->tg_trigger->tgnargs == 1 ? data->tg_trigger->tgargs[0] : "";
    watch->table = table;
    watch->registered = false;
    watch->failed_at = GetCurrentTimestamp();
    warn_once(watch->relation, failure->sqlstate(),
              "the watch of table \"" + table + "\" could not be read: " + failure->message(),
              "Its changes make no events; the table's writes go on.", failure->hint());
    return watch;
}

bool is_good(const Watch &watch) {
    return watch.valid &&
           (watch.failed_at == 0 || GetCurrentTimestamp() - watch.failed_at < kRetryUs);
}

WatchPointer find_watch(const TriggerData *data) {
    if (watches == nullptr) {
        watches = new std::unordered_map<Oid, WatchPointer>();
        call([] {
            CacheRegisterRelcacheCallback(forget, 0);
            CacheRegisterSyscacheCallback(CASTSOURCETARGET, forget_all, 0);
        });
    }
    auto known = watches->find(data->tg_trigger->tgoid);
    if (known != watches->end() && is_good(*known->second))
        return known->second;
    uint64_t invalidations_before = invalidations;
    WatchPointer watch = try_to_read_watch(data);
    // An invalidation that came while it was read may be about it: good for this row only.
    watch->valid = invalidations == invalidations_before;
    (*watches)[data->tg_trigger->tgoid] = watch;
    return watch;
}

// ---- decide ----

bool attribute_changed(AttrNumber number, HeapTuple before, HeapTuple after,
                       TupleDesc description) {
    Form_pg_attribute attribute = TupleDescAttr(description, number - 1);
    bool null_before, null_after;
    Datum old_value = heap_getattr(before, number, description, &null_before);
    Datum new_value = heap_getattr(after, number, description, &null_after);
    if (null_before || null_after)
        return null_before != null_after;
    return value_changed(old_value, new_value, attribute);
}

// As a record comparison by image; most rows are told apart, or found equal, by their bytes.
bool row_changed(HeapTuple before, HeapTuple after, TupleDesc description) {
    HeapTupleHeader old_header = before->t_data, new_header = after->t_data;
    if (before->t_len == after->t_len && old_header->t_hoff == new_header->t_hoff &&
        HeapTupleHeaderGetNatts(old_header) == HeapTupleHeaderGetNatts(new_header) &&
        (old_header->t_infomask & ~HEAP_XACT_MASK) == (new_header->t_infomask & ~HEAP_XACT_MASK) &&
        memcmp(reinterpret_cast<char *>(old_header) + SizeofHeapTupleHeader,
               reinterpret_cast<char *>(new_header) + SizeofHeapTupleHeader,
               before->t_len - SizeofHeapTupleHeader) == 0)
        return false;
    for (int i = 0; i < description->natts; i++)
        if (!TupleDescAttr(description, i)->attisdropped &&
            attribute_changed(static_cast<AttrNumber>(i + 1), before, after, description))
            return true;
    return false;
}

bool key_changed(const Watch &watch, HeapTuple before, HeapTuple after, TupleDesc description) {
    return call([&] {
        for (const PayloadColumn &column : watch.payload.columns)
            if (column.is_key && column.attribute != 0 &&
                attribute_changed(column.attribute, before, after, description))
                return true;
        for (const auto *columns : {&watch.parameters, &watch.key})
            for (const ParameterColumn &column : *columns)
                if (column.attribute != 0 &&
                    attribute_changed(column.attribute, before, after, description))
                    return true;
        return false;
    });
}

// ---- parameters and keys ----

// The form of a value, or nullopt if its type's own code fails. To hash a value is more than to
// write it: collations and types of elements take part.
std::optional<FormedValue> form_if_any(const ParameterColumn &column, Datum value) {
    if (column.bound.is_trusted && column.form.kind != ValueForm::Kind::hashed)
        return formed(column.form, value);
    FormedValue form{};
    if (attempt([&] { form = formed(column.form, value); }))
        return std::nullopt;
    return form;
}

size_t bytes_of(const ParameterColumn &column, Datum value, TupleDesc description) {
    int16 length = TupleDescAttr(description, column.attribute - 1)->attlen;
    return call([&] { return stored_bytes(value, length); });
}

// False if no instance has the value of a parameter: it is NULL, or longer than any client may
// name.
bool read_parameters(const Watch &watch, HeapTuple row, TupleDesc description, Event &event) {
    for (const ParameterColumn &parameter : watch.parameters) {
        if (row == nullptr || parameter.attribute == 0) {
            event.params.emplace_back(std::nullopt);
            continue;
        }
        bool null = false;
        Datum value =
            call([&] { return heap_getattr(row, parameter.attribute, description, &null); });
        if (null || least_text_bytes(parameter.bound, bytes_of(parameter, value, description)) >
                        kMaxParamBytes)
            return false;
        std::optional<FormedValue> form = form_if_any(parameter, value);
        if (!form) {
            event.params.emplace_back(std::nullopt);
            continue;
        }
        bool is_text = form->match == nullptr;
        event.params.emplace_back(to_utf8(is_text ? form->text : form->match));
        if (is_text || watch.has_query)
            continue;
        event.shown.resize(event.params.size());
        event.shown.back() = to_utf8(form->text);
    }
    return true;
}

// The texts are the same in every session, and a query worker reads them. False if a column of the
// key is NULL: no row of the topic has that key. An empty key is that of any row: one of a value
// that has no text, or too long a one.
bool read_key(const Watch &watch, HeapTuple row, TupleDesc description,
              std::vector<std::string> &key) {
    if (row == nullptr)
        return true;
    for (const ParameterColumn &column : watch.key) {
        bool null = false;
        Datum value = call([&] { return heap_getattr(row, column.attribute, description, &null); });
        if (null)
            return false;
        size_t bytes = bytes_of(column, value, description);
        std::optional<FormedValue> form;
        if (!column.bound.is_trusted || bytes <= kMaxKeyBytes)
            form = form_if_any(column, value);
        if (!form) {
            key.clear();
            return true;
        }
        key.push_back(to_utf8(form->text));
    }
    return true;
}

// Unlike interest_key(), tells unknown parameters apart from each other and from every value.
uint64_t collapse_key(const Watch &watch, const Event &event) {
    if (event.params.empty() && event.key.empty())
        return watch.state_key;
    std::vector<std::string> marked;
    for (const std::optional<std::string> &param : event.params)
        marked.push_back(param ? "=" + *param : "*");
    for (const std::string &value : event.key)
        marked.push_back("#" + value);
    return instance_key(watch.topic, marked);
}

// ---- what cannot be carried ----

void warn_once_not_sent(const Watch &watch, const std::string &problem, const std::string &detail) {
    static bool warned = false;
    if (warned)
        return;
    warned = true;
    warn(ERRCODE_PROGRAM_LIMIT_EXCEEDED,
         "a change of table \"" + watch.table + "\" was not sent to topic \"" + watch.topic +
             "\": " + problem,
         detail +
             " The write goes on, and subscribers are told of a gap; this warning is given once"
             " per session.",
         "Let the watch carry fewer columns: rtd_watch_table(.., columns => '{..}').");
}

// In the place of an event of an event topic.
void deliver_gap(const TriggerData *data, const Watch &watch, Event event,
                 const std::string &problem, const std::string &detail) {
    std::string reason = "a row of table \"" + watch.table + "\" " + problem;
    warn_once_not_sent(watch, reason, detail);
    event.kind = EventKind::lost;
    event.payload = "{\"reason\": " + json_quote(to_utf8(reason)) + "}";
    if (watch.is_durable)
        add_durable(Registry(data->tg_trigger->tgfoid), event);
    else
        add_pending(event, watch.delivery);
}

void deliver_loss_of_watch(const Watch &watch) {
    if (watch.failed_at == 0 || !hub_is_reachable() ||
        collapse_pending(instance_key(watch.topic, {"unreadable watch"})))
        return;
    add_lost(watch.topic, "the watch of table \"" + to_utf8(watch.table) + "\" could not be read");
}

// ---- deliver ----

// What was made of a row so far.
struct Made {
    Payload payload;
    bool has_payload = false;
};

const Payload &payload_of(const Watch &watch, const Change &change, Made &made) {
    if (!std::exchange(made.has_payload, true))
        made.payload = build_payload(watch.payload, change, Content::all);
    return made.payload;
}

bool is_row_event(const Watch &watch) {
    return !watch.has_query && !watch.is_durable && watch.parameters.empty();
}

void add_row_event(Watch &watch, const char *payload) {
    std::string converted;
    add_pending(watch.row_event.with(to_utf8(payload, converted)), watch.topic, watch.delivery);
}

void deliver_to_rtd(const TriggerData *data, Watch &watch, const Change &change, Made &made) {
    if (!watch.is_durable && !hub_is_reachable())
        return;
    // Where a query is asked, what happened to the row is for the log alone.
    bool is_bare = watch.has_query && !message_level_is_interesting(event_log_level);
    if (is_bare && watch.parameters.empty() && watch.key.empty()) {
        if (!collapse_pending(watch.state_key, watch.state_change.topic_key))
            add_pending(watch.state_change, watch.topic, watch.delivery);
        return;
    }
    if (!is_bare && is_row_event(watch)) {
        const Payload &payload = payload_of(watch, change, made);
        if (payload.json != nullptr)
            return add_row_event(watch, payload.json);
    }
    Event event = change_of(watch);
    if (!read_parameters(watch, change.row, change.description, event))
        return;
    if (!read_key(watch, change.row, change.description, event.key))
        return;
    if (watch.has_query &&
        collapse_pending(collapse_key(watch, event), watch.state_change.topic_key))
        return;
    if (!is_bare) {
        const Payload &payload = payload_of(watch, change, made);
        if (payload.json == nullptr && !watch.has_query)
            return deliver_gap(data, watch, std::move(event), payload.problem, payload.detail);
        if (payload.json != nullptr)
            event.payload = to_utf8(payload.json);
    }
    if (watch.is_durable)
        add_durable(Registry(data->tg_trigger->tgfoid), event);
    else
        add_pending(event, watch.delivery);
}

bool fits_notify(const Payload &payload) {
    return payload.json != nullptr && strlen(payload.json) <= kMaxNotifyBytes;
}

void warn_once_shortened(const Watch &watch, const Payload &whole) {
    static bool warned = false;
    if (!std::exchange(warned, true))
        warn(ERRCODE_PROGRAM_LIMIT_EXCEEDED,
             "payload for channel \"" + *watch.channel + "\" was shortened",
             (whole.json != nullptr
                  ? "It has " + std::to_string(strlen(whole.json)) + " bytes; NOTIFY takes "
                  : "A row " + whole.problem + "; NOTIFY takes ") +
                 std::to_string(kMaxNotifyBytes) + ".",
             "Clients of rtd get it whole. Let the watch of \"" + watch.table +
                 "\" carry fewer columns.");
}

// A payload that NOTIFY would refuse must not fail the write.
void deliver_to_channel(const Watch &watch, const Change &change, Made &made) {
    Payload payload = payload_of(watch, change, made);
    if (!fits_notify(payload)) {
        warn_once_shortened(watch, payload);
        payload = build_payload(watch.payload, change, Content::key);
    }
    if (!fits_notify(payload))
        payload = build_payload(watch.payload, change, Content::operation);
    notify(*watch.channel, payload.json, watch.table);
}

void deliver(const TriggerData *data, Watch &watch, const Change &change) {
    Made made;
    deliver_to_rtd(data, watch, change, made);
    if (watch.channel)
        deliver_to_channel(watch, change, made);
    if (watch.audit)
        append_to_audit_log(Registry(data->tg_trigger->tgfoid), watch.audited_table, watch.payload,
                            change);
}

void on_update(const TriggerData *data, Watch &watch, TupleDesc description) {
    HeapTuple before = data->tg_trigtuple, after = data->tg_newtuple;
    if (!call([&] { return row_changed(before, after, description); }))
        return;
    if (key_changed(watch, before, after, description))
        deliver(data, watch, {"UPDATE", before, description});
    deliver(data, watch, {"UPDATE", after, description});
}

// False if this transaction has surely not written a row of the table yet. The server counts them
// for its statistics; where it does not, a row may have been written.
bool may_have_written(Relation relation) {
    if (!pgstat_track_counts || relation->pgstat_info == nullptr ||
        relation->rd_rel->relam != HEAP_TABLE_AM_OID)
        return true;
    for (const PgStat_TableXactStatus *level = relation->pgstat_info->trans; level != nullptr;
         level = level->upper)
        if (level->tuples_inserted + level->tuples_updated + level->tuples_deleted > 0)
            return true;
    return false;
}

const char *operation_of(TriggerEvent event) {
    return TRIGGER_FIRED_BY_TRUNCATE(event) ? "TRUNCATE"
           : TRIGGER_FIRED_BY_UPDATE(event) ? "UPDATE"
           : TRIGGER_FIRED_BY_INSERT(event) ? "INSERT"
                                            : "DELETE";
}

void on_statement(const TriggerData *data, Watch &watch, TupleDesc description) {
    if (TRIGGER_FIRED_BY_TRUNCATE(data->tg_event) || may_have_written(data->tg_relation))
        deliver(data, watch, {operation_of(data->tg_event), nullptr, description});
}

void fire(const TriggerData *data) {
    WatchPointer watch = find_watch(data);
    if (!watch->registered)
        return deliver_loss_of_watch(*watch);
    TupleDesc description = RelationGetDescr(data->tg_relation);
    TriggerEvent event = data->tg_event;
    if (TRIGGER_FIRED_FOR_STATEMENT(event))
        on_statement(data, *watch, description);
    else if (TRIGGER_FIRED_BY_UPDATE(event))
        on_update(data, *watch, description);
    else
        deliver(data, *watch, {operation_of(event), data->tg_trigtuple, description});
}

} // namespace

} // namespace rtd::pg

using namespace rtd::pg;

RTD_FUNCTION(rtd_trigger) {
    return enter([&]() -> Datum {
        if (!CALLED_AS_TRIGGER(fcinfo))
            throw Error(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED,
                        "rtd_trigger() was not called by a trigger");
        auto *data = reinterpret_cast<const TriggerData *>(fcinfo->context);
        if (!TRIGGER_FIRED_AFTER(data->tg_event))
            throw Error(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED,
                        "rtd_trigger() must be fired AFTER");
        fire(data);
        return PointerGetDatum(nullptr);
    });
}

// On the registry's own tables, so that the hub also notices rows that pg_restore or a superuser
// writes, and backends what they keep of them (topic_cache.h).
RTD_FUNCTION(rtd_catalog_trigger) {
    return enter([&]() -> Datum {
        note_catalog_change();
        if (CALLED_AS_TRIGGER(fcinfo)) {
            auto *data = reinterpret_cast<const TriggerData *>(fcinfo->context);
            call([&] { CacheInvalidateRelcache(data->tg_relation); });
        }
        return PointerGetDatum(nullptr);
    });
}
