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
    EXPECT_TRUE(is_origin_allowed("https://db.example", "db.example", {}));
    EXPECT_TRUE(is_origin_allowed("http://db.example", "db.example:80", {}));
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
