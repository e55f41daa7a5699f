#include "core/origin.h"

#include <gtest/gtest.h>

namespace rtd {
namespace {

using Standing = OriginStanding;

Standing standing(std::string_view origin, std::string_view host,
                  const std::vector<std::string> &allowed = {}) {
    return AllowedOrigins(allowed).standing(origin, host);
}

bool is_listed(std::string_view entry, std::string_view origin) {
    return standing(origin, "db.example:8787", {std::string(entry)}) == Standing::listed;
}

TEST(Origin, a_request_without_an_origin_passes) {
    EXPECT_EQ(standing("", "localhost:8787"), Standing::none);
}

TEST(Origin, the_own_pages_pass) {
    EXPECT_EQ(standing("http://localhost:8787", "localhost:8787"), Standing::own);
    EXPECT_EQ(standing("http://LOCALHOST:8787", "localhost:8787"), Standing::own);
    EXPECT_EQ(standing("http://app.localhost", "app.localhost:80"), Standing::own);
    EXPECT_EQ(standing("https://127.0.0.1", "127.0.0.1"), Standing::own);
    EXPECT_EQ(standing("http://10.1.2.3:8787", "10.1.2.3:8787"), Standing::own);
    EXPECT_EQ(standing("http://[::1]:8787", "[::1]:8787"), Standing::own);
}

// A page of evil.example whose name suddenly points at 127.0.0.1 has an Origin that equals Host.
TEST(Origin, a_name_that_anybody_could_own_must_be_on_the_list) {
    EXPECT_EQ(standing("http://evil.example:8787", "evil.example:8787"), Standing::foreign);
    EXPECT_EQ(standing("http://notlocalhost:8787", "notlocalhost:8787"), Standing::foreign);
    EXPECT_EQ(standing("http://1.2.3:8787", "1.2.3:8787"), Standing::foreign);
    EXPECT_EQ(standing("https://db.example", "db.example", {"https://db.example"}),
              Standing::listed);
}

TEST(Origin, others_do_not) {
    for (std::string_view other :
         {"http://evil.example", "http://localhost:3000", "null", "file://",
          "http://localhost:", "http://localhost:8787.evil.example", "localhost:8787",
          "https://localhost:8787/x", "http://localhost:8787, http://evil.example"})
        EXPECT_EQ(standing(other, "localhost:8787"), Standing::foreign) << other;
    EXPECT_EQ(standing("http://", ""), Standing::foreign);
}

TEST(Origin, an_entry_is_compared_as_browsers_compare_origins) {
    EXPECT_TRUE(is_listed("https://app.example", "https://app.example"));
    EXPECT_TRUE(is_listed("https://APP.example/", "https://app.example"));
    EXPECT_TRUE(is_listed("https://app.example:443", "https://app.example"));
    EXPECT_TRUE(is_listed("http://app.example:80", "http://app.example"));
    EXPECT_TRUE(is_listed("http://app.example:8080", "http://app.example:8080"));
    EXPECT_TRUE(is_listed("https://[2001:DB8:0::1]:8443", "https://[2001:db8::1]:8443"));
    EXPECT_TRUE(is_listed("https://[::ffff:1.2.3.4]", "https://[::ffff:102:304]"));
    EXPECT_TRUE(is_listed("chrome-extension://abcdefgh", "chrome-extension://abcdefgh"));
    EXPECT_TRUE(is_listed("capacitor://localhost", "capacitor://localhost"));
    EXPECT_TRUE(is_listed("https://xn--bcher-kva.example", "https://xn--bcher-kva.example"));
    EXPECT_TRUE(is_listed("https://app.example.", "https://app.example."));

    EXPECT_FALSE(is_listed("https://app.example", "http://app.example"));
    EXPECT_FALSE(is_listed("https://app.example", "https://app.example:8443"));
    EXPECT_FALSE(is_listed("https://app.example:8443", "https://app.example"));
    EXPECT_FALSE(is_listed("http://app.example:443", "http://app.example"));
    EXPECT_FALSE(is_listed("https://app.example", "https://www.app.example"));
    EXPECT_FALSE(is_listed("https://app.example", "https://app.example."));
}

TEST(Origin, a_wildcard_stands_for_one_or_more_labels_before_the_domain) {
    constexpr std::string_view kEntry = "https://*.Example.com";
    EXPECT_TRUE(is_listed(kEntry, "https://app.example.com"));
    EXPECT_TRUE(is_listed(kEntry, "https://a.b.c.example.com"));
    EXPECT_TRUE(is_listed(kEntry, "https://APP.example.COM"));
    EXPECT_TRUE(is_listed("https://*.example.com:8443", "https://app.example.com:8443"));
    EXPECT_TRUE(is_listed("http://*.localhost:*", "http://app.localhost:3000"));
    for (std::string_view other : {"https://example.com",
                                   "https://evilexample.com",
                                   "https://.example.com",
                                   "https://example.com.evil.org",
                                   "https://app.example.com.evil.org",
                                   "https://a.example.com@evil.org",
                                   "https://evil.org/.example.com",
                                   "https://evil.org#.example.com",
                                   "https://evil.org?.example.com",
                                   "https://evil.org\\.example.com",
                                   "https://evil.org .example.com",
                                   "http://app.example.com",
                                   "https://app.example.com:8443",
                                   "https://*.example.com",
                                   "https://a..example.com",
                                   "https://a.example.com:",
                                   "https://a.example.com:443x",
                                   "https://a.example.com, https://b.example.com",
                                   "https://a.example.com/",
                                   "https://evil.org%2e.example.com",
                                   "null",
                                   "app.example.com",
                                   "//app.example.com"})
        EXPECT_FALSE(is_listed(kEntry, other)) << other;
}

TEST(Origin, a_wildcard_port_stands_for_every_port) {
    for (std::string_view origin :
         {"http://localhost", "http://localhost:3000", "http://localhost:65535"})
        EXPECT_TRUE(is_listed("http://localhost:*", origin)) << origin;
    for (std::string_view origin : {"https://localhost:3000", "http://localhost:0",
                                    "http://localhost:99999", "http://localhost.evil.org:3000"})
        EXPECT_FALSE(is_listed("http://localhost:*", origin)) << origin;
}

TEST(Origin, an_address_does_not_end_at_a_NUL) {
    using namespace std::string_literals;
    EXPECT_TRUE(is_listed("https://[::1]", "https://[::1]"));
    EXPECT_FALSE(is_listed("https://[::1]", "https://[::1\0.evil.example]"s));
    EXPECT_FALSE(is_listed("https://10.0.0.1", "https://10.0.0.1\0.evil.example"s));
}

// Any page can be in a sandboxed frame, or in a file: such a name proves nothing.
TEST(Origin, what_any_page_can_be_is_let_in_without_credentials) {
    EXPECT_EQ(standing("null", "db:1", {"null"}), Standing::anybody);
    EXPECT_EQ(standing("file://", "db:1", {"file://"}), Standing::anybody);
    EXPECT_EQ(standing("null", "db:1", {"*"}), Standing::anybody);
    EXPECT_EQ(standing("https://evil.example", "db:1", {"*"}), Standing::anybody);
    EXPECT_EQ(standing("what ever", "db:1", {"*"}), Standing::anybody);
    EXPECT_EQ(standing("null", "db:1", {"https://null"}), Standing::foreign);
    EXPECT_EQ(standing("https://app.example", "db:1", {"*", "https://app.example"}),
              Standing::listed)
        << "being named counts more";
}

TEST(Origin, an_entry_that_can_match_nothing_is_a_problem_with_a_sentence) {
    const std::pair<std::string, std::string_view> cases[] = {
        {"example.com", "scheme"},
        {"localhost:3000", "scheme"},
        {"//example.com", "scheme"},
        {"://example.com", "scheme"},
        {"*://example.com", "scheme"},
        {"**", "scheme"},
        {"wss://example.com", "WebSocket"},
        {"https://", "no host"},
        {"https://:8443", "no host"},
        {"https://.", "no host"},
        {"https://example.com/login", "path"},
        {"https://example.com//", "path"},
        {"https://example.com?x", "path"},
        {"https://example.com#x", "path"},
        {"https://*", "asterisk"},
        {"https://*.*.example.com", "asterisk"},
        {"https://a.*.example.com", "asterisk"},
        {"https://*app.example.com", "asterisk"},
        {"https://example.*", "asterisk"},
        {"https://*.", "no host"},
        {"https://*.10.0.0.1", "address"},
        {"https://user@example.com", "user name"},
        {"https://exa mple.com", "blank"},
        {"https://a.com https://b.com", "blank"},
        {"https://b\xc3\xbc"
         "cher.example",
         "punycode"},
        {"https://example..com", "empty label"},
        {"https://.example.com", "empty label"},
        {"https://" + std::string(64, 'a'), "63"},
        {"https://example.com:", "port"},
        {"https://example.com:0", "port"},
        {"https://example.com:065", "port"},
        {"https://example.com:65536", "port"},
        {"https://example.com:80:80", "port"},
        {"https://1.2.3", "IPv4"},
        {"https://256.1.1.1", "IPv4"},
        {"https://[::1", "bracket"},
        {"https://[::1]x", "port"},
        {"https://[::g]", "IPv6"},
        {"https://::1", "no host"},
        {"'https://example.com'", "scheme"},
        {"https://example.com'", "character"},
    };
    for (const auto &[entry, word] : cases) {
        Result<OriginPattern> pattern = parse_origin_pattern(entry);
        ASSERT_FALSE(bool(pattern)) << entry;
        EXPECT_NE(pattern.error().find(word), std::string::npos) << pattern.error();
        EXPECT_TRUE(pattern.error().starts_with("\"" + entry + "\" "));
        EXPECT_EQ(standing("https://example.com", "db:1", {entry}), Standing::foreign);
    }
}

} // namespace
} // namespace rtd
