#include "pg/hub/link_settings.h"

#include "core/setting_list.h"

#include "pg/hub/tls_files.h"
#include "pg/server/settings.h"

#include "pg/server/prelude.h"

namespace rtd::pg {

namespace {

// A gateway's part of a total, rounded up. 0, which turns a limit off, stays 0.
uint32_t share_of(int total) {
    return static_cast<uint32_t>((total + gateways - 1) / gateways);
}

} // namespace

link::Settings gateway_settings() {
    link::Settings settings;
    settings.listen_addresses = listen_addresses;
    settings.port = static_cast<uint16_t>(port);
    settings.max_clients = share_of(max_clients);
    settings.max_client_message_bytes = static_cast<uint32_t>(max_client_message_kilobytes) * 1024;
    settings.client_message_rate = static_cast<uint32_t>(client_message_rate);
    settings.max_subscriptions_per_client = static_cast<uint32_t>(max_subscriptions_per_client);
    settings.client_buffer_bytes = static_cast<uint64_t>(client_buffer_kilobytes) * 1024;
    settings.ping_interval_ms = static_cast<uint32_t>(ping_interval_s) * 1000;
    settings.allowed_origins = split_list(allowed_origins);
    settings.max_clients_per_address = share_of(max_clients_per_address);
    settings.connection_rate = share_of(connection_rate);
    read_tls_files(settings);
    settings.compression = compression;
    return settings;
}

RouterSettings router_settings() {
    return {.resync_interval_ms = int64_t{resync_interval_s} * 1000,
            .linger_ms = int64_t{linger_s} * 1000,
            .history_bytes = static_cast<size_t>(history_kilobytes) * 1024,
            .message_retention_ms = int64_t{message_retention_s} * 1000,
            .max_message_bytes = static_cast<size_t>(max_message_kilobytes) * 1024,
            .max_retained = static_cast<size_t>(max_retained_messages),
            .instance_bytes = static_cast<size_t>(instance_memory_kilobytes) * 1024};
}

} // namespace rtd::pg
