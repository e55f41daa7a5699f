// What permessage-deflate costs and saves: how much smaller messages become, and the CPU time that
// takes, by size of the message, level and window. With src/gateway/websocket/deflate as the
// gateway uses it.
//
// Messages are envelopes as the hub makes them, with rows of a table of features as state: numbers,
// words, timestamps, identifiers. "random" is what cannot be compressed much: base64 of random
// bytes.
#include "gateway/websocket/deflate.h"
#include "core/envelope.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace {

using std::string;
using std::string_view;

constexpr size_t kSizes[] = {200, 500, 1000, 2000, 50'000, 1'000'000};
constexpr size_t kDifferent = 8; // messages of each size, in turns
constexpr int kRounds = 5;       // of which the median counts
constexpr double kRoundMicroseconds = 50'000;

double cpu_microseconds() {
    timespec now{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
}

// CPU microseconds of one call of `work(i)`, for i = 0, 1, ...
template <class Work> double measure(Work work) {
    std::array<double, kRounds> rounds{};
    for (double &round : rounds) {
        double start = cpu_microseconds(), spent = 0;
        size_t calls = 0;
        for (; spent < kRoundMicroseconds || calls < kDifferent; spent = cpu_microseconds() - start)
            work(calls++);
        round = spent / static_cast<double>(calls);
    }
    std::ranges::sort(rounds);
    return rounds[kRounds / 2];
}

class Rows {
  public:
    explicit Rows(unsigned seed) : random_(seed) {}

    // Rows until the array has at least `bytes`; where not even one fits, a small object.
    string state(size_t bytes) {
        if (bytes < 150)
            return "{\"id\": " + number(1, 100'000) + ", \"state\": \"completed\"}";
        string rows = "[";
        while (rows.size() < bytes)
            rows += (rows.size() > 1 ? "," : "") + row();
        return rows + "]";
    }
    string noise(size_t bytes) {
        constexpr string_view kDigits =
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        string text = "\"";
        while (text.size() < bytes)
            text += kDigits[below(kDigits.size())];
        return text + "\"";
    }

  private:
    size_t below(size_t end) { return random_() % end; }
    template <size_t n> string_view any(const string_view (&words)[n]) { return words[below(n)]; }
    string number(size_t low, size_t high) { return std::to_string(low + below(high - low)); }

    string sentence() {
        constexpr string_view kWords[] = {
            "panel",  "of",     "the",     "live",   "queue",  "workflow", "shows",    "each",
            "review", "and",    "pattern", "with",   "cost",   "per",      "phase",    "as",
            "a",      "table",  "which",   "can",    "be",     "sorted",   "filtered", "by",
            "author", "status", "when",    "branch", "builds", "fail",     "again",    "after"};
        string text;
        for (size_t words = 3 + below(9); words > 0; words--)
            text.append(any(kWords)).append(words > 1 ? " " : "");
        return text;
    }

    string hex(size_t digits) {
        string text;
        while (text.size() < digits)
            text += "0123456789abcdef"[below(16)];
        return text;
    }

    string row() {
        constexpr string_view kStates[] = {"planned", "in_progress", "completed", "failed"};
        constexpr string_view kAuthors[] = {"ada", "grace", "edsger", "barbara", "tony"};
        return "{\"id\": " + number(1, 100'000) + ", \"title\": \"" + sentence() +
               "\", \"state\": \"" + string(any(kStates)) + "\", \"author\": \"" +
               string(any(kAuthors)) + "\", \"branch\": \"" + hex(8) +
               "\", \"cost\": " + number(0, 90) + "." + number(1000, 10'000) +
               ", \"changed_at\": \"2026-11-" + number(10, 30) + "T" + number(10, 24) + ":" +
               number(10, 60) + ":" + number(10, 60) + "." + number(100'000, 1'000'000) +
               "+00:00\"}";
    }

    std::mt19937 random_;
};

string envelope(const string &data, unsigned sequence) {
    return rtd::to_json({.type = "planned_features_update",
                         .data = data,
                         .timestamp_us = 1'795'238'080'123'456 + int64_t{sequence} * 7'654'321,
                         .source = "event",
                         .topic = "planned-features",
                         .params = nullptr,
                         .id = "1795238080123456-" + std::to_string(sequence),
                         .kind = "snapshot"});
}

std::vector<string> messages(size_t bytes, bool is_noise) {
    constexpr size_t kEnvelopeBytes = 180;
    std::vector<string> all;
    for (unsigned i = 0; i < kDifferent; i++) {
        Rows rows(i);
        size_t size = bytes - std::min(bytes, kEnvelopeBytes);
        all.push_back(envelope(is_noise ? rows.noise(size) : rows.state(size), i + 1));
    }
    return all;
}

void report(string_view what, const std::vector<string> &bodies, int level, int window_bits) {
    rtd::Deflater deflater(level, window_bits);
    rtd::Inflater inflater;
    size_t before = 0, after = 0;
    std::vector<string> payloads;
    string text;
    for (const string &body : bodies) {
        payloads.push_back(deflater.deflate(body).value_or(""));
        before += body.size();
        after += payloads.back().empty() ? body.size() : payloads.back().size();
        if (payloads.back().empty())
            continue;
        if (inflater.inflate(payloads.back(), body.size(), text) != rtd::Inflater::Outcome::whole ||
            text != body) {
            std::fprintf(stderr, "a message is another one after its compression\n");
            std::exit(1);
        }
    }
    double deflate_us = measure([&](size_t i) { deflater.deflate(bodies[i % kDifferent]); });
    double inflate_us = measure([&](size_t i) {
        inflater.inflate(payloads[i % kDifferent], bodies[i % kDifferent].size(), text);
    });
    auto bytes = static_cast<double>(before) / kDifferent;
    std::printf("| %.*s | %.0f | %d | %d | %.0f | %.2f | %.1f | %.0f | %.1f |\n",
                static_cast<int>(what.size()), what.data(), bytes, level, window_bits,
                static_cast<double>(after) / kDifferent,
                static_cast<double>(before) / static_cast<double>(after), deflate_us,
                bytes / deflate_us, inflate_us);
    std::fflush(stdout);
}

} // namespace

int main() {
    std::printf(
        "| message | bytes | level | window bits | compressed | times smaller | µs to compress "
        "| MB/s | µs to decompress |\n|---|---|---|---|---|---|---|---|---|\n");
    for (bool is_noise : {false, true})
        for (size_t size : kSizes)
            for (int window_bits : {12, 15})
                for (int level : {1, 3, 6})
                    report(is_noise ? "random" : "rows", messages(size, is_noise), level,
                           window_bits);
    return 0;
}
