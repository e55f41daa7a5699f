// The load of bench/fanout: many WebSocket clients in one process that cost next to nothing.
//
// Opens --clients N connections to 127.0.0.1:--port with --path, at most --under-way C of them
// before their first message, and then does what its standard input says, a line at a time:
//
//     await <n>     answers once every reading client has message n
//     measure <n>   counts from message n on, and forgets what was counted before
//     stop          says goodbye on every connection, prints the result, ends
//
// Answers are lines of JSON on standard output; the end of the input ends it, too. A message
// carries
// {"n": number, "t": nanoseconds of CLOCK_MONOTONIC} at the start of its data. Each client has to
// get every number once and in order, whatever is counted; the time from t until the last byte of
// the message was read goes into a histogram.
//
// Frames are parsed where read() put them, all reads share one buffer, and nothing is allocated for
// a message. Of a frame that is cut by the end of a read only its first bytes are kept.
#include "histogram.h"

#include <algorithm>
#include <cinttypes>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <sys/resource.h>
#include <unistd.h>
#include <utility>
#include <uv.h>

namespace {

using rtd::bench::Histogram;
using std::string_view;

constexpr size_t kHeaderBytes = 10;      // of a frame, at most: a server does not mask
constexpr size_t kHeadBytes = 128;       // of a payload that are looked at; control frames fit
constexpr size_t kReadBytes = 256 << 10; // the buffer of all reads
constexpr size_t kMaxResponseBytes = 16 << 10;
constexpr int kSlowBufferBytes = 16 << 10; // of a client that never reads: it is full soon
constexpr uint64_t kGoodbyeMs = 10'000;    // servers that have not closed by then are left

[[noreturn]] __attribute__((format(printf, 1, 2))) void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    std::fputs("load: ", stderr);
    std::vfprintf(stderr, format, arguments);
    std::fputc('\n', stderr);
    std::exit(1);
}

void check(int status, const char *what) {
    if (status < 0)
        fail("%s: %s", what, uv_strerror(status));
}

struct Options {
    unsigned port = 0;
    std::string path = "/";
    size_t clients = 1;
    size_t never_read = 0; // the first so many clients stop reading after their first message
    size_t under_way = 128;
};

enum class State { connecting, upgrading, waiting, open, ended };

struct Client {
    uv_tcp_t socket;
    uv_connect_t connect;
    uv_shutdown_t shutdown;
    State state = State::connecting;
    bool reads = true;
    std::string response;   // the answer to the upgrade, until it is whole
    uint64_t begun = 0;     // when connecting began
    uint64_t last = 0;      // number of the newest message
    uint64_t rest = 0;      // bytes of the current frame still to come
    uint64_t number = 0;    // of the current message
    uint64_t sent = 0;      // its time
    uint64_t size = 0;      // its bytes, with the headers of its frames
    bool completes = false; // the current frame is its last
    size_t kept = 0;        // bytes of a frame's start that an earlier read ended with
    char start[kHeaderBytes + kHeadBytes];
};

struct Load {
    Options options;
    uv_loop_t *loop = uv_default_loop();
    std::unique_ptr<Client[]> clients;
    std::unique_ptr<char[]> buffer = std::make_unique<char[]>(kReadBytes);
    uv_pipe_t input;
    std::string command;
    uv_timer_t goodbye;
    uint64_t begun = 0;
    size_t begun_clients = 0; // that have begun to connect
    size_t ready = 0;         // that have had their first message
    size_t readers = 0;       // that read and have not ended
    size_t ended = 0;
    bool stopping = false;
    uint64_t first_number = 0; // of everybody's first message

    uint64_t awaited = 0; // 0: nothing
    size_t arrived = 0;   // readers that have the awaited message

    uint64_t measured_from = UINT64_MAX;
    uint64_t first_at = 0, last_at = 0; // the first was sent, the last came
    uint64_t bytes = 0;                 // of the counted messages
    uint64_t missing = 0, repeated = 0;
    size_t lost = 0;                 // reading clients that ended too early
    std::map<int, size_t> end_codes; // of those that end early or never read; 0: none, -1: reset
    Histogram latency, first_message;
};

Load load;

// ---- answers ----

__attribute__((format(printf, 1, 2))) void answer(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    std::vprintf(format, arguments);
    va_end(arguments);
    std::fputc('\n', stdout);
    std::fflush(stdout);
}

double ms(uint64_t ns) {
    return static_cast<double>(ns) / 1e6;
}

void answer_ready(uint64_t now) {
    double seconds = static_cast<double>(now - load.begun) / 1e9;
    answer(R"({"ready": %zu, "seconds": %.6f, "perSecond": %.1f, "p50": %.4f, "p99": %.4f})",
           load.ready, seconds, static_cast<double>(load.ready) / seconds,
           ms(load.first_message.quantile(0.5)), ms(load.first_message.quantile(0.99)));
}

[[noreturn]] void answer_result() {
    const Histogram &latency = load.latency;
    std::string ends;
    for (auto [code, count] : load.end_codes)
        ends +=
            (ends.empty() ? "\"" : ", \"") + std::to_string(code) + "\": " + std::to_string(count);
    uint64_t count = latency.total();
    answer(R"({"deliveries": %)" PRIu64 R"(, "seconds": %.6f, "messageBytes": %.1f, "p50": %.4f, )"
           R"("p99": %.4f, "p999": %.4f, "max": %.4f, "missing": %)" PRIu64
           R"(, "repeated": %)" PRIu64 R"(, "lost": %zu, "ends": {%s}})",
           count, static_cast<double>(load.last_at - load.first_at) / 1e9,
           count ? static_cast<double>(load.bytes) / static_cast<double>(count) : 0.0,
           ms(latency.quantile(0.5)), ms(latency.quantile(0.99)), ms(latency.quantile(0.999)),
           ms(latency.max()), load.missing, load.repeated, load.lost, ends.c_str());
    std::exit(0);
}

void answer_awaited() {
    if (load.awaited == 0 || load.arrived < load.readers)
        return;
    answer(R"({"delivered": %)" PRIu64 R"(, "readers": %zu})", load.awaited, load.readers);
    load.awaited = 0;
}

void await_number(uint64_t number) {
    load.awaited = number;
    load.arrived = 0;
    for (size_t i = 0; i < load.options.clients; i++)
        load.arrived += load.clients[i].reads && load.clients[i].state == State::open &&
                        load.clients[i].last >= number;
    answer_awaited();
}

// ---- the end of a connection ----

void end(Client &client, int code) {
    if (client.state == State::ended)
        return;
    if (client.state != State::open)
        fail("a connection ended before its first message, close code %d", code);
    if (client.reads) {
        load.readers--;
        load.lost += !load.stopping;
        load.arrived -= load.awaited != 0 && client.last >= load.awaited;
    }
    client.state = State::ended;
    if (!client.reads || !load.stopping)
        load.end_codes[code]++;
    uv_close(reinterpret_cast<uv_handle_t *>(&client.socket), nullptr);
    answer_awaited();
    if (++load.ended == load.options.clients && load.stopping)
        answer_result();
}

// ---- messages ----

void connect_next();

// The digits after `key` at `text`; 0 if it is not there.
uint64_t number_after(string_view key, const char *&text, const char *end) {
    if (text + key.size() > end || std::memcmp(text, key.data(), key.size()) != 0)
        return 0;
    uint64_t value = 0;
    for (text += key.size(); text < end && *text >= '0' && *text <= '9'; text++)
        value = value * 10 + static_cast<uint64_t>(*text - '0');
    return value;
}

// What a message says of itself: a number and a time.
void read_numbers(Client &client, const char *payload, size_t size) {
    static size_t place = 0; // where the number was in the last message: envelopes are alike
    const char *end = payload + size;
    const char *text = payload + std::min(place, size);
    client.number = number_after(R"("n": )", text, end);
    if (client.number == 0) {
        place = string_view(payload, size).find(R"("n": )");
        if (place == string_view::npos)
            fail("a message without a number: %.*s", static_cast<int>(size), payload);
        text = payload + place;
        client.number = number_after(R"("n": )", text, end);
    }
    client.sent = number_after(R"(, "t": )", text, end);
}

void take_first(Client &client, uint64_t now) {
    if (load.first_number == 0)
        load.first_number = client.number;
    if (client.number != load.first_number)
        fail("clients begin with different messages, though none was sent");
    client.state = State::open;
    client.last = client.number;
    load.first_message.add(now - client.begun);
    load.ready++;
    if (client.reads)
        load.readers++;
    else
        uv_read_stop(reinterpret_cast<uv_stream_t *>(&client.socket));
    connect_next();
    if (load.ready == load.options.clients)
        answer_ready(now);
}

void take(Client &client, uint64_t now) {
    if (client.state == State::waiting)
        return take_first(client, now);
    if (!client.reads)
        return; // it only empties its connection, to see how that ends
    if (client.number > client.last)
        load.missing += client.number - client.last - 1;
    else
        load.repeated++;
    bool arrives = client.last < load.awaited && client.number >= load.awaited;
    client.last = client.number;
    if (client.number >= load.measured_from) {
        load.latency.add(now - std::min(now, client.sent));
        load.bytes += client.size;
        load.last_at = now;
        if (load.first_at == 0)
            load.first_at = client.sent;
    }
    if (arrives) {
        load.arrived++;
        answer_awaited();
    }
}

// ---- frames ----

struct Header {
    bool is_final;
    int opcode;
    size_t size;
    uint64_t payload;
};

// False if the header is not whole yet.
bool read_header(const char *data, size_t size, Header &header) {
    auto byte = [&](size_t i) { return static_cast<uint8_t>(data[i]); };
    if (size < 2)
        return false;
    header.is_final = byte(0) & 0x80;
    header.opcode = byte(0) & 15;
    header.payload = byte(1) & 127;
    header.size = header.payload < 126 ? 2 : header.payload == 126 ? 4 : kHeaderBytes;
    if (size < header.size)
        return false;
    if (header.size > 2)
        header.payload = 0;
    for (size_t i = 2; i < header.size; i++)
        header.payload = header.payload << 8 | byte(i);
    return true;
}

void send_control(Client &client, int opcode, string_view payload) {
    char frame[6 + 125] = {static_cast<char>(0x80 | opcode),
                           static_cast<char>(0x80 | payload.size())};
    std::memcpy(frame + 6, payload.data(), payload.size()); // the mask is zero
    uv_buf_t out = uv_buf_init(frame, static_cast<unsigned>(6 + payload.size()));
    // Fails only where the connection is full or gone, and then it will end.
    uv_try_write(reinterpret_cast<uv_stream_t *>(&client.socket), &out, 1);
}

// Looks at a frame's start: header and the first bytes of the payload. Returns the frame's size, or
// 0 if that is not all there yet.
uint64_t begin_frame(Client &client, const char *data, size_t size) {
    Header header;
    if (!read_header(data, size, header))
        return 0;
    size_t head = std::min<uint64_t>(header.payload, kHeadBytes);
    if (size < header.size + head)
        return 0;
    const char *payload = data + header.size;
    uint64_t frame_bytes = header.size + header.payload;
    client.completes = header.is_final && header.opcode <= 1;
    switch (header.opcode) {
    case 0: // a large message is cut into several frames
        client.size += frame_bytes;
        break;
    case 1:
        read_numbers(client, payload, head);
        client.size = frame_bytes;
        break;
    case 8:
        end(client, head < 2
                        ? 1005
                        : static_cast<uint8_t>(payload[0]) << 8 | static_cast<uint8_t>(payload[1]));
        break;
    case 9:
        send_control(client, 10, {payload, head});
        break;
    case 10:
        break;
    default:
        fail("an unexpected frame, opcode %d", header.opcode);
    }
    return frame_bytes;
}

void receive(Client &client, const char *data, size_t size, uint64_t now) {
    if (client.kept > 0) {
        size_t taken = std::min(size, sizeof client.start - client.kept);
        std::memcpy(client.start + client.kept, data, taken);
        uint64_t frame_bytes = begin_frame(client, client.start, client.kept + taken);
        if (frame_bytes == 0) {
            client.kept += taken;
            return;
        }
        client.rest = frame_bytes - client.kept;
        client.kept = 0;
    }
    while (client.state != State::ended) {
        if (client.rest > size) {
            client.rest -= size;
            return;
        }
        data += client.rest;
        size -= client.rest;
        client.rest = 0;
        if (std::exchange(client.completes, false))
            take(client, now);
        if (size == 0)
            return;
        client.rest = begin_frame(client, data, size);
        if (client.rest == 0) {
            std::memcpy(client.start, data, size);
            client.kept = size;
            return;
        }
    }
}

// ---- connecting ----

void receive_response(Client &client, string_view data, uint64_t now) {
    client.response.append(data);
    size_t end = client.response.find("\r\n\r\n");
    if (end == std::string::npos) {
        if (client.response.size() > kMaxResponseBytes)
            fail("the answer to the upgrade does not end");
        return;
    }
    if (client.response.compare(0, 13, "HTTP/1.1 101 ") != 0)
        fail("no upgrade: %s", client.response.c_str());
    client.state = State::waiting;
    std::string response = std::move(client.response);
    client.response = {};
    if (response.size() > end + 4)
        receive(client, response.data() + end + 4, response.size() - end - 4, now);
}

void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *) {
    auto &client = *static_cast<Client *>(stream->data);
    if (size < 0)
        return end(client, size == UV_EOF ? 0 : -1);
    uint64_t now = uv_hrtime();
    if (client.state == State::upgrading)
        receive_response(client, {load.buffer.get(), static_cast<size_t>(size)}, now);
    else
        receive(client, load.buffer.get(), static_cast<size_t>(size), now);
}

void give_buffer(uv_handle_t *, size_t, uv_buf_t *buffer) {
    *buffer = uv_buf_init(load.buffer.get(), kReadBytes);
}

void on_connect(uv_connect_t *request, int status) {
    check(status, "connecting");
    auto &client = *static_cast<Client *>(request->data);
    auto *stream = reinterpret_cast<uv_stream_t *>(&client.socket);
    client.state = State::upgrading;
    std::string head =
        "GET " + load.options.path +
        " HTTP/1.1\r\nHost: 127.0.0.1:" + std::to_string(load.options.port) +
        "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    uv_buf_t out = uv_buf_init(head.data(), static_cast<unsigned>(head.size()));
    if (uv_try_write(stream, &out, 1) != static_cast<int>(head.size()))
        fail("a new connection does not take a request");
    check(uv_read_start(stream, give_buffer, on_read), "reading");
}

// Every process, and every 10,000 clients of it, connect from another loopback address: ports of
// connections that ended a moment ago are not missed.
sockaddr_in source_address(size_t index) {
    auto process = static_cast<unsigned>(getpid());
    unsigned last = 1 + static_cast<unsigned>(index / 10'000);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr =
        htonl(127u << 24 | (process >> 8 & 255) << 16 | (process & 255) << 8 | last);
    return address;
}

void connect_next() {
    if (load.begun_clients == load.options.clients)
        return;
    size_t index = load.begun_clients++;
    Client &client = load.clients[index];
    client.begun = uv_hrtime();
    client.reads = index >= load.options.never_read;
    client.socket.data = client.connect.data = client.shutdown.data = &client;
    check(uv_tcp_init_ex(load.loop, &client.socket, AF_INET), "a socket");
    uv_os_fd_t fd;
    uv_fileno(reinterpret_cast<uv_handle_t *>(&client.socket), &fd);
    int on = 1; // the port is chosen when both ends are known
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    if (!client.reads)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &kSlowBufferBytes, sizeof kSlowBufferBytes);
    sockaddr_in source = source_address(index), server{};
    check(uv_tcp_bind(&client.socket, reinterpret_cast<sockaddr *>(&source), 0),
          "a source address");
    check(uv_ip4_addr("127.0.0.1", static_cast<int>(load.options.port), &server), "the address");
    check(uv_tcp_connect(&client.connect, &client.socket, reinterpret_cast<sockaddr *>(&server),
                         on_connect),
          "connecting");
    uv_tcp_nodelay(&client.socket, 1);
}

// ---- commands ----

// Every server answers a goodbye by closing, so that the next load does not find it busy with this
// one.
void stop() {
    load.stopping = true;
    for (size_t i = 0; i < load.options.clients; i++) {
        Client &client = load.clients[i];
        if (client.state == State::ended)
            continue;
        auto *stream = reinterpret_cast<uv_stream_t *>(&client.socket);
        send_control(client, 8, "\x03\xe8"); // 1000
        uv_shutdown(&client.shutdown, stream, [](uv_shutdown_t *, int) {});
        if (!client.reads)
            uv_read_start(stream, give_buffer, on_read);
    }
    if (load.ended == load.options.clients)
        answer_result();
    uv_timer_init(load.loop, &load.goodbye);
    uv_timer_start(
        &load.goodbye, [](uv_timer_t *) { answer_result(); }, kGoodbyeMs, 0);
}

void run_command(const std::string &line) {
    uint64_t number = 0;
    if (std::sscanf(line.c_str(), "await %" SCNu64, &number) == 1)
        await_number(number);
    else if (std::sscanf(line.c_str(), "measure %" SCNu64, &number) == 1)
        load.measured_from = number;
    else if (line == "stop")
        stop();
    else
        fail("no such command: %s", line.c_str());
}

void on_command(uv_stream_t *, ssize_t size, const uv_buf_t *) {
    if (size < 0)
        std::exit(0); // who gave the commands has gone
    load.command.append(load.buffer.get(), static_cast<size_t>(size));
    size_t end;
    while ((end = load.command.find('\n')) != std::string::npos) {
        std::string line = load.command.substr(0, end);
        load.command.erase(0, end + 1);
        run_command(line);
    }
}

Options parse(int argc, char **argv) {
    Options options;
    for (int i = 1; i + 1 < argc; i += 2) {
        string_view name = argv[i];
        auto number = static_cast<size_t>(std::atoll(argv[i + 1]));
        if (name == "--port")
            options.port = static_cast<unsigned>(number);
        else if (name == "--path")
            options.path = argv[i + 1];
        else if (name == "--clients")
            options.clients = number;
        else if (name == "--never-read")
            options.never_read = number;
        else if (name == "--under-way")
            options.under_way = number;
        else
            fail("no such option: %s", argv[i]);
    }
    if (argc % 2 == 0 || options.port == 0 || options.clients <= options.never_read)
        fail("usage: load --port P --path /ws/topic --clients N [--never-read K] [--under-way C]");
    return options;
}

void allow_descriptors(size_t clients) {
    rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < clients + 50)
        fail("%zu clients need more than %zu descriptors", clients,
             static_cast<size_t>(limit.rlim_cur));
}

} // namespace

int main(int argc, char **argv) {
    load.options = parse(argc, argv);
    allow_descriptors(load.options.clients);
    load.clients = std::make_unique<Client[]>(load.options.clients);
    check(uv_pipe_init(load.loop, &load.input, 0), "the input");
    check(uv_pipe_open(&load.input, STDIN_FILENO), "the input");
    check(uv_read_start(reinterpret_cast<uv_stream_t *>(&load.input), give_buffer, on_command),
          "the input");
    load.begun = uv_hrtime();
    for (size_t i = 0; i < std::max<size_t>(load.options.under_way, 1); i++)
        connect_next();
    return uv_run(load.loop, UV_RUN_DEFAULT);
}
