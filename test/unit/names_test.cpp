#include "core/names.h"

#include <gtest/gtest.h>

namespace rtd {
namespace {

TEST(Names, kebab_case_names_are_accepted_as_they_are) {
    for (std::string name : {"queue", "planned-features", "a", "7", "a1-b2-c3"}) {
        Result<std::string> checked = check_topic_name(name);
        ASSERT_TRUE(checked) << name;
        EXPECT_EQ(*checked, name);
    }
}

TEST(Names, anything_else_is_refused_with_a_sentence) {
    for (std::string name :
         {"", "-a", "a-", "a--b", "A", "planned_features", "a b", "a/b", "\xc3\xa4", "a."}) {
        Result<std::string> checked = check_topic_name(name);
        ASSERT_FALSE(checked) << name;
        EXPECT_NE(checked.error().find("topic name"), std::string::npos);
    }
}

TEST(Names, the_longest_name_has_63_bytes) {
    EXPECT_TRUE(check_topic_name(std::string(63, 'a')));
    EXPECT_FALSE(check_topic_name(std::string(64, 'a')));
}

TEST(Names, the_message_type_follows_from_the_topic) {
    EXPECT_EQ(default_message_type("planned-features"), "planned_features_update");
    EXPECT_EQ(default_message_type("queue"), "queue_update");
}

} // namespace
} // namespace rtd
