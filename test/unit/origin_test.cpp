#include "core/origin.h"

#include <gtest/gtest.h>

namespace rtd {
namespace {

TEST(Origin, a_request_without_an_origin_passes) {
    EXPECT_TRUE(is_origin_allowed("", "localhost:8787", {}));
}

TEST(Origin, the_own_pages_pass) {
    EXPECT_TRUE(is_origin_allowed("http://localhost:8787", "localhost:8787", {}));
    EXPECT_TRUE(is_origin_allowed("http://LOCALHOST:8787", "localhost:8787", {}));
    EXPECT_TRUE(is_origin_allowed("http://app.localhost", "app.localhost:80", {}));
    EXPECT_TRUE(is_origin_allowed("https://127.0.0.1", "127.0.0.1", {}));
    EXPECT_TRUE(is_origin_allowed("http://10.1.2.3:8787", "10.1.2.3:8787", {}));
    EXPECT_TRUE(is_origin_allowed("http://[::1]:8787", "[::1]:8787", {}));
}

// A page of evil.example whose name suddenly points at 127.0.0.1 has an Origin that equals Host.
TEST(Origin, a_name_that_anybody_could_own_must_be_on_the_list) {
    EXPECT_FALSE(is_origin_allowed("http://evil.example:8787", "evil.example:8787", {}));
    EXPECT_FALSE(is_origin_allowed("http://notlocalhost:8787", "notlocalhost:8787", {}));
    EXPECT_FALSE(is_origin_allowed("http://1.2.3:8787", "1.2.3:8787", {}));
    EXPECT_TRUE(is_origin_allowed("https://db.example", "db.example", {"https://db.example"}));
}

TEST(Origin, others_do_not) {
    EXPECT_FALSE(is_origin_allowed("http://evil.example", "localhost:8787", {}));
    EXPECT_FALSE(is_origin_allowed("http://localhost:3000", "localhost:8787", {}));
    EXPECT_FALSE(is_origin_allowed("null", "localhost:8787", {}));
    EXPECT_FALSE(is_origin_allowed("http://", "", {}));
    EXPECT_FALSE(is_origin_allowed("http://localhost:8787.evil.example", "localhost:8787", {}));
    EXPECT_FALSE(is_origin_allowed("localhost:8787", "localhost:8787", {}));
}

TEST(Origin, the_list_allows_by_the_whole_origin_or_all) {
    EXPECT_TRUE(is_origin_allowed("https://app.example", "db:1", {"https://app.example"}));
    EXPECT_TRUE(is_origin_allowed("https://app.example", "db:1", {"x", "https://APP.example/"}));
    EXPECT_FALSE(is_origin_allowed("http://app.example", "db:1", {"https://app.example"}));
    EXPECT_TRUE(is_origin_allowed("null", "db:1", {"*"}));
}

} // namespace
} // namespace rtd
