#include "pg/query/publish.h"

#include "pg/server/setting_scope.h"
#include "pg/server/settings.h"
#include "pg/server/worker_transaction.h"
#include "pg/sql/broadcast.h"

#include "pg/server/prelude.h"

extern "C" {
#include "nodes/makefuncs.h"
#include "nodes/value.h"
#include "parser/parse_func.h"
#include "pgstat.h"
#include "utils/fmgrprotos.h"
#include "utils/timeout.h"
#include "utils/varlena.h"
}

namespace rtd::pg {

namespace {

// rtd_broadcast() itself, by which everything else of the extension is found.
// The schema is written as in SQL, with quotes where it needs them.
Oid broadcast_function(const std::string &schema) {
    return call([&] {
        List *parts = NIL;
        if (!SplitIdentifierString(pstrdup(schema.c_str()), '.', &parts) || list_length(parts) != 1)
            elog(ERROR, "invalid schema name: %s", schema.c_str());
        List *name = list_make2(makeString(static_cast<char *>(linitial(parts))),
                                makeString(pstrdup("rtd_broadcast")));
        return LookupFuncName(name, -1, nullptr, false);
    });
}

int64 publish_as_role(const RunPublish &job) {
    Oid function = broadcast_function(job.schema);
    call([] {
        if (statement_timeout_ms > 0)
            enable_timeout_after(STATEMENT_TIMEOUT, statement_timeout_ms);
    });
    // An abort gives the role back, a commit does not.
    Oid worker_role = InvalidOid;
    int worker_context = 0;
    GetUserIdAndSecContext(&worker_role, &worker_context);
    SetUserIdAndSecContext(job.role, worker_context | SECURITY_LOCAL_USERID_CHANGE |
                                         SECURITY_RESTRICTED_OPERATION);
    SettingScope settings;
    Broadcast message;
    message.topic = job.message.topic;
    message.params.assign(job.message.params.begin(), job.message.params.end());
    message.type = job.message.type;
    message.data = jsonb_text(call(
        [&] { return DirectFunctionCall1(jsonb_in, CStringGetDatum(job.message.data.c_str())); }));
    int64 subscribers = broadcast(function, message);
    SetUserIdAndSecContext(worker_role, worker_context);
    return subscribers;
}

// What is the client's fault, by what the server calls it; nullopt for what is not.
std::optional<CloseCode> code_of(int sqlstate) {
    if (sqlstate == ERRCODE_INSUFFICIENT_PRIVILEGE)
        return CloseCode::forbidden;
    if (sqlstate == ERRCODE_UNDEFINED_OBJECT)
        return CloseCode::unknown_topic;
    if (sqlstate == ERRCODE_PROGRAM_LIMIT_EXCEEDED || sqlstate == ERRCODE_INVALID_NAME ||
        ERRCODE_TO_CATEGORY(sqlstate) == ERRCODE_DATA_EXCEPTION)
        return CloseCode::bad_request;
    return std::nullopt;
}

void refuse(link::Published &answer, CloseCode code, std::string reason) {
    answer.is_refused = true;
    answer.code = code;
    answer.reason = std::move(reason);
}

// The client learns what it did wrong; what went wrong here is for the server's log.
void refuse(link::Published &answer, const Error &error, const std::string &topic) {
    if (std::optional<CloseCode> code = code_of(error.sqlstate()))
        return refuse(answer, *code, error.message());
    char state[6];
    strlcpy(state, unpack_sql_state(error.sqlstate()), sizeof state);
    call([&] {
        ereport(WARNING, (errcode(error.sqlstate()),
                          errmsg("a client's message to topic \"%s\" could not be published: %s",
                                 topic.c_str(), error.message().c_str())));
    });
    refuse(answer, CloseCode::unavailable,
           "the server could not publish the message (SQLSTATE " + std::string(state) + ")");
}

} // namespace

PublishDone publish(const RunPublish &job) {
    link::Published answer{job.message.client, job.message.request, 0, false, {}, {}};
    pgstat_report_activity(STATE_RUNNING, "rtd_broadcast() for a client");
    try {
        in_transaction([&] { answer.subscribers = static_cast<uint64_t>(publish_as_role(job)); });
    } catch (const Error &error) {
        refuse(answer, error, job.message.topic);
    }
    disable_timeout(STATEMENT_TIMEOUT, false);
    QueryCancelPending = false; // a timeout that fired when it was already over
    pgstat_report_activity(STATE_IDLE, nullptr);
    call([] { pgstat_report_stat(false); });
    return {std::move(answer)};
}

} // namespace rtd::pg
