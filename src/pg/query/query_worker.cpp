#include "pg/query/query_worker.h"

#include <algorithm>
#include <map>
#include <memory>
#include <optional>

#include "pg/analysis/query_result.h"
#include "pg/analysis/significant.h"
#include "pg/analysis/topic_query.h"
#include "pg/query/dblink_connections.h"
#include "pg/query/keyed_read.h"
#include "pg/query/parameter_errors.h"
#include "pg/query/publish.h"
#include "pg/query/query_job.h"
#include "pg/query/session_role.h"
#include "pg/query/store_jobs.h"
#include "pg/server/as_owner.h"
#include "pg/server/boundary.h"
#include "pg/server/report.h"
#include "pg/server/saved_plan.h"
#include "pg/server/settings.h"
#include "pg/server/statement.h"
#include "pg/server/worker_settings.h"
#include "pg/server/worker_transaction.h"
#include "pg/shared/announcements.h"
#include "pg/shared/shared_state.h"
#include "pg/value/json_value.h"
#include "pg/value/output_settings.h"
#include "pg/value/parameter.h"

#include "pg/server/prelude.h"

extern "C" {
#include "common/pg_prng.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/dsm.h"
#include "storage/procsignal.h"
#include "storage/shm_mq.h"
#include "storage/shm_toc.h"
#include "tcop/tcopprot.h"
#include "utils/fmgrprotos.h"
#include "utils/inval.h"
#include "utils/jsonb.h"
#include "utils/syscache.h"
#include "utils/timeout.h"
}

namespace rtd::pg {

namespace {

// A prepared query, kept until its topic, or what it reads, is altered. It was planned as the role
// it runs as, whose privileges decide what planning may put into it; so each role has its own.
struct Prepared {
    std::unique_ptr<SavedPlan> plan;
    std::unique_ptr<KeyedPlans> keyed; // instead, of a keyed topic
    std::vector<Oid> types;
    uint64_t generation = 0;
    uint64_t version = 0;
    uint64_t definitions = 0; // SharedState::definition_generation before it was made
    uint64_t last_use = 0;    // number of the job
};

using PreparedName = std::pair<std::string, Oid>; // topic, role
constexpr size_t kMostPrepared = 500;

class QueryWorker {
  public:
    QueryWorker(shm_mq_handle *requests, shm_mq_handle *replies, MemoryContext context)
        : requests_(requests), replies_(replies), context_(context) {}

    // Returns when the hub is gone.
    void run();

  private:
    bool receive(WorkerRequest &request);
    bool send(const WorkerReply &reply);
    // What to answer; nullopt if nothing is to be.
    std::optional<WorkerReply> handle(const RunQuery &job);
    std::optional<WorkerReply> handle(const StoreRetained &job) { return run_store_job(job); }
    std::optional<WorkerReply> handle(const ReadRetained &job) { return run_store_job(job); }
    std::optional<WorkerReply> handle(const StoreNotifications &job) { return run_store_job(job); }
    std::optional<WorkerReply> handle(const RunLogJob &job) { return run_store_job(job); }
    std::optional<WorkerReply> handle(const RunPublish &job) { return publish(job); }
    std::optional<WorkerReply> handle(const ReadMore &);
    std::optional<WorkerReply> handle(const EndRead &);
    QueryDone run(const RunQuery &job);
    bool should_run_again(const RunQuery &job, const QueryOutcome &outcome);
    void blame_parameters(const RunQuery &job, int failure, QueryOutcome &outcome);
    bool is_outdated(const Prepared &prepared) const;
    void read_keyed(const RunQuery &job, const Prepared &prepared, std::vector<Datum> &values,
                    QueryDone &done);
    void run_query(const RunQuery &job, const Prepared &prepared, std::vector<Datum> &values,
                   QueryOutcome &outcome);
    void take_state(const RunQuery &job, const JsonText &json, QueryOutcome &outcome);
    template <class Body>
    void run_as_role(const RunQuery &job, SessionRole &session, QueryOutcome &outcome, Body body);
    const Prepared &prepare(const RunQuery &job);
    void fill(Prepared &prepared, const RunQuery &job);
    void make_room();
    void forget_what_is_gone();
    bool convert(const RunQuery &job, const Prepared &prepared, std::vector<Datum> &values,
                 QueryOutcome &outcome);

    shm_mq_handle *requests_;
    shm_mq_handle *replies_;
    MemoryContext context_; // reset after every job
    std::map<PreparedName, std::unique_ptr<Prepared>> prepared_;
    uint64_t catalog_ = 0; // SharedState::catalog_generation when that was looked for last
    uint64_t jobs_ = 0;
    uint64_t instance_ = 0;    // of the last job
    uint64_t definitions_ = 0; // SharedState::definition_generation before the job's transaction
    bool is_answered_ = false; // it was answered, and the hub asked for nothing more
};

// Until the end of the transaction.
void set_local(const char *setting, const char *value) {
    set_config_option(setting, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
}

constexpr long kPublicationPollUs = 50;

// A query whose functions catch the cancel ends with its process.
constexpr int kGraceMs = 1000;
TimeoutId grace_timeout;
const RunQuery *running_job = nullptr;
volatile sig_atomic_t is_overdue = false;

void end_process() {
    is_overdue = true;
    ProcDiePending = true;
    InterruptPending = true;
    SetLatch(MyLatch);
}

void log_overdue(int, Datum) {
    if (is_overdue && running_job != nullptr)
        ereport(
            WARNING,
            (errmsg("the query of topic \"%s\" did not end when it was canceled",
                    running_job->topic.c_str()),
             errdetail("It ran for longer than rtd.statement_timeout. Its query worker ends with "
                       "it, and another one is started."),
             errhint("A function that the query calls catches query_canceled.")));
}

void register_grace_timeout() {
    grace_timeout = RegisterTimeout(USER_TIMEOUT, end_process);
    before_shmem_exit(log_overdue, 0);
}

void start_timeout() {
    if (statement_timeout_ms <= 0)
        return;
    enable_timeout_after(STATEMENT_TIMEOUT, statement_timeout_ms);
    enable_timeout_after(grace_timeout,
                         std::min(statement_timeout_ms, INT_MAX - kGraceMs) + kGraceMs);
}

void end_timeout() {
    disable_timeout(STATEMENT_TIMEOUT, false);
    disable_timeout(grace_timeout, false);
    QueryCancelPending = false; // it fired when the query was already over
}

// What the end of a transaction leaves to the session: advisory locks, the seed of random(), and
// the connections of dblink.
void forget_session() {
    call([] {
        (void)DirectFunctionCall1(pg_advisory_unlock_all, 0);
        (void)DirectFunctionCall1(setseed,
                                  Float8GetDatum(2 * pg_prng_double(&pg_global_prng_state) - 1));
    });
    close_dblink_connections();
}

// Roles, or their attributes: the callback may come at any time, and only takes a note.
bool roles_changed = false;

void note_roles_changed(Datum, int, uint32) {
    roles_changed = true;
}

// SIGTERM interrupts a running query; between queries it lets the worker leave quietly.
volatile sig_atomic_t query_runs = false;

void on_sigterm(SIGNAL_ARGS) {
    if (query_runs)
        die(postgres_signal_arg);
    else
        SignalHandlerForShutdownRequest(postgres_signal_arg);
}

bool QueryWorker::receive(WorkerRequest &request) {
    Size size = 0;
    void *data = nullptr;
    shm_mq_result result = SHM_MQ_WOULD_BLOCK;
    while (!ShutdownRequestPending) {
        result = call([&] { return shm_mq_receive(requests_, &size, &data, true); });
        if (result != SHM_MQ_WOULD_BLOCK)
            break;
        call([] {
            WaitLatch(MyLatch, WL_LATCH_SET | WL_EXIT_ON_PM_DEATH, -1, PG_WAIT_EXTENSION);
            ResetLatch(MyLatch);
            CHECK_FOR_INTERRUPTS();
        });
    }
    if (result != SHM_MQ_SUCCESS)
        return false;
    Result<WorkerRequest> decoded =
        decode_request(std::string_view(static_cast<char *>(data), size));
    if (!decoded)
        throw Error(ERRCODE_INTERNAL_ERROR, decoded.error());
    request = std::move(*decoded);
    return true;
}

bool QueryWorker::send(const WorkerReply &reply) {
    std::string bytes = encode(reply);
    return call([&] { return shm_mq_send(replies_, bytes.size(), bytes.data(), false, true); }) ==
           SHM_MQ_SUCCESS;
}

void QueryWorker::run() {
    WorkerRequest request;
    while (receive(request)) {
        if (ConfigReloadPending) {
            ConfigReloadPending = false;
            call([] { ProcessConfigFile(PGC_SIGHUP); });
            follow_deadlock_timeout();
        }
        query_runs = true;
        std::optional<WorkerReply> reply =
            std::visit([&](const auto &job) { return handle(job); }, request);
        bool sent = !reply || send(*reply);
        query_runs = false;
        MemoryContextReset(context_);
        if (!sent)
            return;
    }
}

// These two come here only if the snapshot they are about is gone: see read_keyed().
std::optional<WorkerReply> QueryWorker::handle(const ReadMore &) {
    QueryDone done{instance_, {}};
    done.outcome.text = "the query was cancelled before it had read all";
    return done;
}

std::optional<WorkerReply> QueryWorker::handle(const EndRead &) {
    return std::nullopt;
}

bool QueryWorker::is_outdated(const Prepared &prepared) const {
    // The server replans what DDL touched; names that mean something else by now it leaves alone.
    if (prepared.definitions != pg_atomic_read_u64(&shared->definition_generation))
        return true;
    if (prepared.keyed != nullptr)
        return !prepared.keyed->are_valid();
    return !prepared.plan->is_valid();
}

std::optional<WorkerReply> QueryWorker::handle(const RunQuery &job) {
    try {
        forget_what_is_gone();
    } catch (const Error &error) { // it is tried again with the next job
        report(WARNING, "a query worker could not forget what is gone: " + error.message());
    }
    QueryDone done = run(job);
    if (!is_answered_ && should_run_again(job, done.outcome))
        done = run(job);
    if (is_answered_)
        return std::nullopt;
    return done;
}

// DDL may commit while the query waits for its lock: the plan, and the types of its parameters,
// then turn out to be outdated on the way. Or jsonb may have refused a value in a row.
bool QueryWorker::should_run_again(const RunQuery &job, const QueryOutcome &outcome) {
    auto found = prepared_.find({job.topic, job.role});
    if (outcome.status == QueryOutcome::Status::ok || found == prepared_.end())
        return false;
    const Prepared &prepared = *found->second;
    if (is_outdated(prepared))
        return true;
    bool is_refusal = outcome.status == QueryOutcome::Status::failed && !outcome.sqlstate.empty() &&
                      is_refusal_of_jsonb(MAKE_SQLSTATE(outcome.sqlstate[0], outcome.sqlstate[1],
                                                        outcome.sqlstate[2], outcome.sqlstate[3],
                                                        outcome.sqlstate[4]));
    return is_refusal && prepared.keyed != nullptr && prepared.keyed->spell_out();
}

// A topic query is code of others, and leaves nothing behind, however it ends.
template <class Body> void run_undone(Body body) {
    SessionRole session;
    in_transaction([&] {
        undone([&] {
            body(session);
            end_timeout();
        });
    });
}

QueryDone QueryWorker::run(const RunQuery &job) {
    QueryDone done{job.instance, {}};
    instance_ = job.instance;
    is_answered_ = false;
    definitions_ = pg_atomic_read_u64(&shared->definition_generation);
    running_job = &job;
    int failure = 0; // that may be the parameters' fault
    TimestampTz start = GetCurrentTimestamp();
    pgstat_report_activity(STATE_RUNNING, job.query.c_str());
    try {
        run_undone([&](SessionRole &session) {
            run_as_role(job, session, done.outcome,
                        [&](const Prepared &prepared, std::vector<Datum> &values) {
                            if (prepared.keyed)
                                read_keyed(job, prepared, values, done);
                            else
                                run_query(job, prepared, values, done.outcome);
                        });
        });
    } catch (const Error &error) {
        char state[6];
        strlcpy(state, unpack_sql_state(error.sqlstate()), sizeof state);
        // With a state at hand it was `significant` that failed: the state is sent.
        bool has_state = done.outcome.status == QueryOutcome::Status::ok && job.key.empty();
        if (!has_state)
            done.outcome = {};
        std::string &text = has_state ? done.outcome.warning : done.outcome.text;
        text = error.message() + " (SQLSTATE " + state + ")";
        if (!has_state)
            done.outcome.sqlstate = state;
        // What the subscribers' role may not read is for them to know, not a failure of the query.
        if (!has_state && job.is_invoker && error.sqlstate() == ERRCODE_INSUFFICIENT_PRIVILEGE)
            done.outcome.status = QueryOutcome::Status::forbidden;
        if (!has_state && is_of_lock(error.sqlstate()))
            done.outcome.status = QueryOutcome::Status::locked;
        if (!has_state && job.parameter_count > 0 && may_be_of_parameters(error.sqlstate()))
            failure = error.sqlstate();
    } catch (const std::bad_alloc &) {
        done.outcome = {};
        done.outcome.text = "out of memory";
    }
    end_timeout();
    if (failure != 0)
        blame_parameters(job, failure, done.outcome);
    running_job = nullptr;
    forget_session();
    pgstat_report_activity(STATE_IDLE, nullptr);
    call([] { pgstat_report_stat(false); });
    done.outcome.elapsed_us = GetCurrentTimestamp() - start;
    return done;
}

// The query failed because of a value: the client's, if its parameters alone make an error too.
void QueryWorker::blame_parameters(const RunQuery &job, int failure, QueryOutcome &outcome) {
    bool is_their_fault = false;
    try {
        run_undone([&](SessionRole &session) {
            run_as_role(
                job, session, outcome, [&](const Prepared &prepared, std::vector<Datum> &values) {
                    evaluate_parameters(job.query, prepared.types, values, failure, is_their_fault);
                });
        });
    } catch (const Error &error) {
        if (is_their_fault) { // otherwise the error of the query counts
            outcome.status = QueryOutcome::Status::bad_parameter;
            outcome.text = "the parameters of topic \"" + job.topic + "\": " + error.message();
        }
    }
    end_timeout();
}

const Prepared &QueryWorker::prepare(const RunQuery &job) {
    auto found = prepared_.find({job.topic, job.role});
    // DDL may have given the parameters other types: a plan that it invalidated is made anew.
    bool is_usable = found != prepared_.end() &&
                     found->second->generation == job.topic_generation &&
                     found->second->version == job.topic_version && !is_outdated(*found->second);
    if (!is_usable) {
        prepared_.erase({job.topic, job.role});
        make_room();
        auto prepared = std::make_unique<Prepared>();
        fill(*prepared, job);
        found = prepared_.emplace(PreparedName{job.topic, job.role}, std::move(prepared)).first;
    }
    found->second->last_use = ++jobs_;
    return *found->second;
}

void QueryWorker::make_room() {
    if (prepared_.size() >= kMostPrepared)
        prepared_.erase(std::ranges::min_element(
            prepared_, {}, [](const auto &entry) { return entry.second->last_use; }));
}

// Plans of topics and roles that were dropped, or of versions that are not: nobody asks for them
// any more, and some are large.
void QueryWorker::forget_what_is_gone() {
    uint64_t catalog = pg_atomic_read_u64(&shared->catalog_generation);
    if (prepared_.empty() || (catalog == catalog_ && !roles_changed))
        return;
    roles_changed = false;
    std::map<std::string, uint64_t> versions;
    in_transaction([&] {
        if (std::optional<Home> home = find_home())
            for (const Row &row :
                 Statement(*home, "SELECT name, version FROM @.rtd_topic WHERE query IS NOT NULL")
                     .run({})
                     .rows)
                versions.emplace(row.at(0).text.value(), std::stoull(row.at(1).text.value()));
        std::erase_if(prepared_, [&](const auto &entry) {
            auto topic = versions.find(entry.first.first);
            return topic == versions.end() || topic->second != entry.second->version || call([&] {
                       return !SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(entry.first.second));
                   });
        });
    });
    catalog_ = catalog;
}

void QueryWorker::fill(Prepared &prepared, const RunQuery &job) {
    prepared.generation = job.topic_generation;
    prepared.version = job.topic_version;
    prepared.definitions = definitions_;
    if (!job.key.empty()) {
        prepared.keyed =
            std::make_unique<KeyedPlans>(job.topic, job.query, job.parameter_count, job.key);
        prepared.types = prepared.keyed->parameter_types();
        return;
    }
    TopicQuery query = analyze_topic_query(job.query, job.parameter_count);
    check_shape(job.topic, query.columns, job.shape);
    prepared.types = std::move(query.parameter_types);
    prepared.plan = std::make_unique<SavedPlan>(job.query, prepared.types);
}

// Errors of input functions that look a name up, such as that of regclass.
bool is_of_name(int sqlstate) {
    int category = ERRCODE_TO_CATEGORY(sqlstate);
    return category == ERRCODE_TO_CATEGORY(ERRCODE_UNDEFINED_OBJECT) ||
           sqlstate == ERRCODE_INVALID_SCHEMA_NAME;
}

// False, with the outcome filled in, if a parameter is no value of its type.
bool QueryWorker::convert(const RunQuery &job, const Prepared &prepared, std::vector<Datum> &values,
                          QueryOutcome &outcome) {
    for (size_t i = 0; i < prepared.types.size(); i++) {
        try {
            values.push_back(call([&] {
                Oid input = InvalidOid;
                Oid element = InvalidOid;
                getTypeInputInfo(prepared.types[i], &input, &element);
                return OidInputFunctionCall(input, const_cast<char *>(job.params[i].c_str()),
                                            element, -1);
            }));
        } catch (const Error &error) {
            if (!is_fault_of_value(error) && !is_of_name(error.sqlstate()))
                throw;
            outcome.status = QueryOutcome::Status::bad_parameter;
            outcome.text = "parameter " + std::to_string(i + 1) + " of topic \"" + job.topic +
                           "\": " + error.message();
            return false;
        }
    }
    return true;
}

// Calls `body` with the query's plan and the parameters' values, unless one of them is none: then
// the outcome is filled in.
template <class Body>
void QueryWorker::run_as_role(const RunQuery &job, SessionRole &session, QueryOutcome &outcome,
                              Body body) {
    // Ends with the subtransaction around it, as search_path does; the session's role with
    // SessionRole.
    call([&] {
        XactReadOnly = true;
        if (!SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(job.role)))
            ereport(ERROR,
                    (errcode(ERRCODE_UNDEFINED_OBJECT),
                     errmsg("the %s of topic \"%s\" does not exist",
                            job.is_invoker ? "subscriber's role" : "owner", job.topic.c_str())));
    });
    session.become(job.role);
    std::string wait = job.gives_way_soon ? lock_wait(kShortLockWaitMs) : "";
    call([&] {
        if (job.gives_way_soon)
            set_local("lock_timeout", wait.c_str());
        set_local("search_path", job.search_path.c_str());
        set_local("request.jwt.claims", job.claims.c_str());
        start_timeout();
    });
    OutputSettings fixed(kStyles);
    const Prepared &prepared = prepare(job);
    std::vector<Datum> values;
    if (convert(job, prepared, values, outcome))
        body(prepared, values);
}

// The rows that the hub asked for. If they are not all, it learns what else this snapshot shows,
// and may ask for that too: see router/keyed_instance.h.
void QueryWorker::read_keyed(const RunQuery &job, const Prepared &prepared,
                             std::vector<Datum> &values, QueryDone &done) {
    prepared.keyed->read(values, job.selection, done.outcome);
    if (done.outcome.has_all)
        return;
    while (has_unpublished(GetActiveSnapshot()))
        call([] {
            CHECK_FOR_INTERRUPTS();
            pg_usleep(kPublicationPollUs);
        });
    end_timeout(); // the hub's time does not count
    done.outcome.is_open = true;
    WorkerRequest request;
    is_answered_ = true;
    if (!send(done) || !receive(request) || std::holds_alternative<EndRead>(request))
        return;
    is_answered_ = false;
    done.outcome = {};
    call([] { start_timeout(); });
    prepared.keyed->read(values, std::get<ReadMore>(request).selection, done.outcome);
}

void QueryWorker::run_query(const RunQuery &job, const Prepared &prepared,
                            std::vector<Datum> &values, QueryOutcome &outcome) {
    with_spi([&] {
        ResultSet result = prepared.plan->select(values, row_limit(job.shape));
        take_state(job, call([&] { return result_as_json(job.topic.c_str(), job.shape, result); }),
                   outcome);
    });
}

void QueryWorker::take_state(const RunQuery &job, const JsonText &json, QueryOutcome &outcome) {
    struct Answer {
        const char *text;
        size_t size;
        uint64_t hash;
    };
    Datum state = jsonb_of_text(json.data, json.size, outcome.altered);
    Answer answer = call([&] {
        Jsonb *jsonb = DatumGetJsonbP(state);
        int size = 0;
        StringInfoData text;
        initStringInfo(&text);
        JsonbToCString(&text, &jsonb->root, VARSIZE(jsonb));
        size = text.len;
        if (size / 1024 >= max_message_kilobytes)
            ereport(ERROR,
                    (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
                     errmsg("the result of %d bytes is larger than rtd.max_message_size", size)));
        uint64_t hash =
            DatumGetUInt64(DirectFunctionCall2(jsonb_hash_extended, state, Int64GetDatum(0)));
        return Answer{text.data, static_cast<size_t>(size), hash};
    });
    outcome.status = QueryOutcome::Status::ok;
    outcome.text.assign(answer.text, answer.size);
    outcome.hash = answer.hash;
    if (!job.last_message.empty())
        outcome.is_significant = is_significant(job.significant, job.last_message, state);
}

} // namespace

} // namespace rtd::pg

void rtd_query_worker_main(Datum segment_handle) {
    using namespace rtd::pg;
    pqsignal(SIGHUP, SignalHandlerForConfigReload);
    pqsignal(SIGTERM, on_sigterm);
    BackgroundWorkerUnblockSignals();

    Oid database = InvalidOid;
    memcpy(&database, MyBgworkerEntry->bgw_extra, sizeof database);
    dsm_segment *segment = dsm_attach(DatumGetUInt32(segment_handle));
    if (segment == nullptr)
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("could not map the hub's shared memory segment")));
    shm_toc *toc = shm_toc_attach(kWorkerMagic, dsm_segment_address(segment));
    if (toc == nullptr)
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("bad magic number in the hub's shared memory segment")));
    shm_mq *requests = static_cast<shm_mq *>(shm_toc_lookup(toc, kRequestKey, false));
    shm_mq *replies = static_cast<shm_mq *>(shm_toc_lookup(toc, kReplyKey, false));
    shm_mq_set_receiver(requests, MyProc);
    shm_mq_set_sender(replies, MyProc);
    shm_mq_handle *in = shm_mq_attach(requests, segment, nullptr);
    shm_mq_handle *out = shm_mq_attach(replies, segment, nullptr);

    BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
    MemoryContext context =
        AllocSetContextCreate(TopMemoryContext, "rtd query job", ALLOCSET_DEFAULT_SIZES);
    MemoryContextSwitchTo(context);
    enter([&] {
        fix_worker_settings();
        register_grace_timeout();
        call([] { CacheRegisterSyscacheCallback(AUTHOID, note_roles_changed, 0); });
        QueryWorker(in, out, context).run();
    });
    proc_exit(0);
}
