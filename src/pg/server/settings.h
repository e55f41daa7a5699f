// The rtd.* settings. Each is described where it is defined (settings.cpp) and in docs/SETTINGS.md.
#pragma once
#include "core/fence.h"

namespace rtd::pg {

inline constexpr int kMaxGateways = 64;

// Fixed at server start.
extern char *database;
extern int query_workers;
extern int queue_kilobytes;

// Follow a reload (SIGHUP).
extern char *listen_addresses;
extern int port;
extern int publish_queue_kilobytes;
extern int gateway_buffer_kilobytes;
extern int gateway_timeout_s; // 0: none
extern int instance_memory_kilobytes;
extern int gateways;
extern char *anonymous_role;
extern int statement_timeout_ms;
extern int resync_interval_s;
extern int linger_s;
extern int history_kilobytes;
extern int max_message_kilobytes;
extern int max_transaction_events;
extern int max_retained_messages;
extern int max_instances;
extern int message_retention_s;
extern int max_clients;
extern int client_buffer_kilobytes;
extern int max_client_message_kilobytes;
extern int client_message_rate;
extern int max_subscriptions_per_client;
extern int ping_interval_s;
extern char *allowed_origins;
extern char *ssl_cert_file;
extern char *ssl_key_file;
extern int ssl_min_protocol_version; // a link::TlsVersion
extern int max_clients_per_address;
extern int connection_rate;
extern bool compression;
extern double notification_queue_warning; // a fraction
extern double notification_queue_limit;   // another
extern int event_log_level;               // an elog level

void define_settings();

} // namespace rtd::pg
