#include "pg/server/settings.h"

#include <climits>
#include <exception>
#include <string>

#include "core/link.h"
#include "core/origin.h"
#include "core/setting_list.h"

#include "pg/server/boundary.h"

#include "pg/server/prelude.h"

namespace rtd::pg {

char *database;
int query_workers;
int queue_kilobytes;
int publish_queue_kilobytes;
int gateway_buffer_kilobytes;
int gateway_timeout_s;
int instance_memory_kilobytes;
char *listen_addresses;
int port;
int gateways;
char *anonymous_role;
int statement_timeout_ms;
int resync_interval_s;
int linger_s;
int history_kilobytes;
int max_message_kilobytes;
int max_transaction_events;
int max_retained_messages;
int max_instances;
int message_retention_s;
int max_clients;
int client_buffer_kilobytes;
int max_client_message_kilobytes;
int client_message_rate;
int max_subscriptions_per_client;
int ping_interval_s;
char *allowed_origins;
char *ssl_cert_file;
char *ssl_key_file;
int ssl_min_protocol_version;
int max_clients_per_address;
int connection_rate;
bool compression;
double notification_queue_warning;
double notification_queue_limit;
int event_log_level;

namespace {

const config_enum_entry kLogLevels[] = {{"debug2", DEBUG2, false}, {"debug1", DEBUG1, false},
                                        {"log", LOG, false},       {"info", INFO, false},
                                        {"notice", NOTICE, false}, {nullptr, 0, false}};

const config_enum_entry kTlsVersions[] = {
    {"TLSv1.2", static_cast<int>(link::TlsVersion::v1_2), false},
    {"TLSv1.3", static_cast<int>(link::TlsVersion::v1_3), false},
    {nullptr, 0, false}};

void define_int(const char *name, const char *what, const char *more, int *value, int initial,
                int least, int most, GucContext context, int flags = 0) {
    DefineCustomIntVariable(name, what, more, value, initial, least, most, context, flags, nullptr,
                            nullptr, nullptr);
}

void define_string(const char *name, const char *what, const char *more, char **value,
                   const char *initial, GucContext context, int flags = 0,
                   GucStringCheckHook check = nullptr) {
    DefineCustomStringVariable(name, what, more, value, initial, context, flags, check, nullptr,
                               nullptr);
}

// What is wrong with a setting, as plain bytes: GUC_check_errdetail() may leave by longjmp.
struct SettingProblem {
    bool is_out_of_memory = false;
    char detail[1024] = "";

    void set(const std::string &sentence) { copy_beginning(detail, sentence); }
};

// The first problem that `problem_of` finds among the elements of a list. No exception may leave a
// check hook, which the server calls in any process.
template <class ProblemOf>
void check_list(const char *list, SettingProblem &problem, ProblemOf problem_of) noexcept {
    try {
        for (const std::string &element : split_list(list)) {
            std::string sentence = problem_of(element);
            if (!sentence.empty())
                return problem.set(sentence + ".");
        }
    } catch (...) { // of the library: nothing else is thrown
        problem.is_out_of_memory = true;
    }
}

bool report(const SettingProblem &problem, const char *hint) {
    if (problem.is_out_of_memory) {
        GUC_check_errcode(ERRCODE_OUT_OF_MEMORY);
        return false;
    }
    if (problem.detail[0] == '\0')
        return true;
    GUC_check_errdetail("%s", problem.detail);
    GUC_check_errhint("%s", hint);
    return false;
}

// An origin that no browser sends would let nobody in, without a word.
bool check_allowed_origins(char **value, void **, GucSource) {
    SettingProblem problem;
    check_list(*value, problem, [](const std::string &element) {
        Result<OriginPattern> pattern = parse_origin_pattern(element);
        return pattern ? std::string() : pattern.error();
    });
    return report(problem, "Write each origin as browsers do, such as https://app.example.com or "
                           "http://localhost:3000, with commas between them. "
                           "https://*.example.com stands for all hosts under example.com, "
                           "http://localhost:* for all ports, and * alone for every page.");
}

bool check_listen_addresses(char **value, void **, GucSource) {
    SettingProblem problem;
    check_list(*value, problem, listen_address_problem);
    return report(problem, "Write names or addresses with commas between them, such as "
                           "\"localhost, 192.0.2.1, ::1\", or * for all.");
}

} // namespace

void define_settings() {
    // What shapes shared memory or worker slots can only be set while the server starts.
    GucContext at_start =
        process_shared_preload_libraries_in_progress ? PGC_POSTMASTER : PGC_SIGHUP;

    define_string("rtd.database", "Database that the hub serves.", nullptr, &database, "postgres",
                  at_start);
    define_int("rtd.query_workers", "Background workers that run topic queries.",
               "Each takes one of max_worker_processes, as does the hub.", &query_workers, 2, 1, 64,
               at_start);
    define_int("rtd.queue_size", "Shared memory for events on their way to the hub.",
               "Must hold the largest message.", &queue_kilobytes, 64 * 1024, 64, INT_MAX / 1024,
               at_start, GUC_UNIT_KB);
    define_string("rtd.listen_addresses", "Host names or addresses the gateway listens on.",
                  "A comma-separated list, or * for all.", &listen_addresses, "localhost",
                  PGC_SIGHUP, GUC_LIST_INPUT, check_listen_addresses);
    define_int("rtd.port", "TCP port the gateway listens on.", nullptr, &port, 8787, 1, 65535,
               PGC_SIGHUP);
    define_int("rtd.gateways", "Gateway processes that share the port.",
               "Each uses one processor core. A reload that changes it closes all clients once.",
               &gateways, 1, 1, kMaxGateways, PGC_SIGHUP);
    define_string("rtd.anonymous_role", "Role of clients that do not sign in.",
                  "Empty: such clients are refused.", &anonymous_role, "", PGC_SIGHUP);
    define_int("rtd.statement_timeout", "Longest time a topic query may run.", "0 turns it off.",
               &statement_timeout_ms, 5000, 0, INT_MAX, PGC_SIGHUP, GUC_UNIT_MS);
    define_int("rtd.resync_interval",
               "Subscribed topics are queried again after this long without an event.",
               "0 turns it off.", &resync_interval_s, 300, 0, INT_MAX / 1000, PGC_SIGHUP,
               GUC_UNIT_S);
    define_int("rtd.linger", "How long a topic's messages are kept after its last subscriber left.",
               "A client that comes back within that time gets what it missed. 0 keeps nothing.",
               &linger_s, 60, 0, INT_MAX / 1000, PGC_SIGHUP, GUC_UNIT_S);
    define_int("rtd.history_size", "Memory for the last messages of one topic instance.",
               "They are for clients that come back; the topic says how many they may be.",
               &history_kilobytes, 1024, 0, INT_MAX / 1024, PGC_SIGHUP, GUC_UNIT_KB);
    define_int("rtd.max_message_size", "Largest message data that is sent to clients.", nullptr,
               &max_message_kilobytes, 16 * 1024, 1, 256 * 1024, PGC_SIGHUP, GUC_UNIT_KB);
    define_int("rtd.max_transaction_events",
               "Events of one topic that one transaction may make one by one.",
               "Beyond it a state topic is queried once, and an event topic's subscribers are told "
               "that they missed something.",
               &max_transaction_events, 10000, 1, INT_MAX, PGC_SUSET);
    define_int("rtd.max_retained_messages",
               "Instances of one topic of which the last message is retained.",
               "Beyond it the messages that are oldest go.", &max_retained_messages, 10000, 1,
               INT_MAX, PGC_SIGHUP);
    define_int("rtd.max_instances", "Topic instances that may be subscribed to at a time.",
               "Shared memory for so many is reserved when the server starts, 32 to 64 bytes for "
               "each.",
               &max_instances, 200'000, 1000, 16'000'000, at_start);
    define_int("rtd.instance_memory", "Memory for all topic instances and subscriptions.",
               "Beyond it those that linger go, histories are not kept, and clients are refused "
               "that subscribe to instances nobody subscribes to yet.",
               &instance_memory_kilobytes, 512 * 1024, 1024, INT_MAX, PGC_SIGHUP, GUC_UNIT_KB);
    define_int("rtd.message_retention", "How long messages of durable topics are kept at least.",
               "They are kept up to a sixth longer.", &message_retention_s, 24 * 3600, 1,
               10 * 365 * 24 * 3600, PGC_SIGHUP, GUC_UNIT_S);
    define_int("rtd.max_clients", "Clients that may be connected at a time.",
               "Each gateway takes an equal share of them.", &max_clients, 10000, 1, 1000000,
               PGC_SIGHUP);
    define_int("rtd.max_clients_per_address",
               "Connections of any kind that one network address may have at a time.",
               "Behind a proxy all clients have one address. 0 turns the limit off.",
               &max_clients_per_address, 0, 0, 1000000, PGC_SIGHUP);
    define_int("rtd.connection_rate", "Connections that one network address may open per second.",
               "Ten seconds' worth may come at once. 0 turns the limit off.", &connection_rate,
               1000, 0, 1000000, PGC_SIGHUP);
    define_int("rtd.client_buffer", "Bytes that may wait for one slow client.",
               "Beyond it a state topic skips to its newest state, and an event topic's client is "
               "disconnected.",
               &client_buffer_kilobytes, 1024, 16, INT_MAX / 1024, PGC_SIGHUP, GUC_UNIT_KB);
    define_int("rtd.max_client_message_size", "Largest message a client may send.", nullptr,
               &max_client_message_kilobytes, 64, 1, 16 * 1024, PGC_SIGHUP, GUC_UNIT_KB);
    define_int("rtd.publish_queue_size",
               "Memory for messages that clients publish, until a query worker takes them.",
               "Beyond it they are refused, and the client is told.", &publish_queue_kilobytes,
               8 * 1024, 64, 1024 * 1024, PGC_SIGHUP, GUC_UNIT_KB);
    define_int("rtd.gateway_buffer", "Memory for what waits for one gateway that does not read it.",
               "Beyond it the gateway is ended and another one started.", &gateway_buffer_kilobytes,
               256 * 1024, 1024, INT_MAX / 1024, PGC_SIGHUP, GUC_UNIT_KB);
    define_int("rtd.gateway_timeout", "Time within which a gateway must give a sign of life.",
               "One that gives none is ended and another one started. 0 turns it off.",
               &gateway_timeout_s, 30, 0, 3600, PGC_SIGHUP, GUC_UNIT_S);
    define_int(
        "rtd.client_message_rate", "Messages a client may send per second.",
        "More are answered with an error, and a client that goes on is disconnected. 0 turns "
        "it off.",
        &client_message_rate, 50, 0, 1000000, PGC_SIGHUP);
    define_int("rtd.max_subscriptions_per_client",
               "Topic instances that one client may subscribe to at a time.", nullptr,
               &max_subscriptions_per_client, 100, 1, 100000, PGC_SIGHUP);
    define_int("rtd.ping_interval", "Time after which a quiet client is pinged.",
               "A client that does not answer within the same time again is disconnected. 0 turns "
               "it off.",
               &ping_interval_s, 30, 0, 3600, PGC_SIGHUP, GUC_UNIT_S);
    define_string("rtd.allowed_origins", "Web origins whose pages may connect.",
                  "A comma-separated list; https://*.example.com stands for all hosts under "
                  "example.com, * for any. Pages of the gateway itself may, under localhost or an "
                  "IP address.",
                  &allowed_origins, "", PGC_SIGHUP, 0, check_allowed_origins);
    define_string("rtd.ssl_cert_file", "File with the gateway's TLS certificate and its chain.",
                  "PEM; a relative path starts in the data directory. Empty, as is "
                  "rtd.ssl_key_file: clients speak plain HTTP.",
                  &ssl_cert_file, "", PGC_SIGHUP);
    define_string("rtd.ssl_key_file", "File with the private key of the gateway's certificate.",
                  "PEM, without a passphrase, and not readable by others.", &ssl_key_file, "",
                  PGC_SIGHUP);
    DefineCustomEnumVariable("rtd.ssl_min_protocol_version",
                             "Oldest TLS version that clients may use.", nullptr,
                             &ssl_min_protocol_version, static_cast<int>(link::TlsVersion::v1_2),
                             kTlsVersions, PGC_SIGHUP, 0, nullptr, nullptr, nullptr);
    DefineCustomBoolVariable("rtd.compression",
                             "Compress messages for WebSocket clients that offer it.",
                             "A message is compressed once, whoever gets it.", &compression, true,
                             PGC_SIGHUP, 0, nullptr, nullptr, nullptr);
    DefineCustomRealVariable(
        "rtd.notification_queue_warning",
        "Fraction of the server's notification queue that may be in use without a warning.",
        "When that queue is full, NOTIFY fails. 1 turns the warning off.",
        &notification_queue_warning, 0.25, 0, 1, PGC_SIGHUP, 0, nullptr, nullptr, nullptr);
    DefineCustomRealVariable(
        "rtd.notification_queue_limit",
        "Fraction of the server's notification queue up to which watches with a channel notify.",
        "When that queue is full, every transaction that notifies fails. 1 turns the limit off.",
        &notification_queue_limit, 0.9, 0, 1, PGC_SIGHUP, 0, nullptr, nullptr, nullptr);
    DefineCustomEnumVariable(
        "rtd.event_log_level", "Level at which every event, broadcast and client is logged.",
        nullptr, &event_log_level, DEBUG1, kLogLevels, PGC_SIGHUP, 0, nullptr, nullptr, nullptr);
    MarkGUCPrefixReserved("rtd");
}

} // namespace rtd::pg
