#include "core/setting_list.h"

#include <gtest/gtest.h>

namespace rtd {
namespace {

TEST(SettingList, elements_stand_between_commas) {
    EXPECT_EQ(split_list(" a,b c ,\t,,d\n"), (std::vector<std::string>{"a", "b c", "d"}));
    EXPECT_TRUE(split_list("").empty());
    EXPECT_TRUE(split_list(" , ").empty());
}

TEST(SettingList, an_address_to_listen_on_is_a_name_or_an_address_without_a_port) {
    for (std::string good :
         {"*", "localhost", "db-1.example", "my_host", "127.0.0.1", "::1", "::", "fe80::1%eth0"})
        EXPECT_EQ(listen_address_problem(good), "") << good;
    for (auto [bad, word] : {std::pair<std::string, std::string_view>{"localhost:8787", "rtd.port"},
                             {"127.0.0.1:8787", "rtd.port"},
                             {"[::1]", "brackets"},
                             {"[::1]:8787", "brackets"},
                             {"http://localhost", "scheme"},
                             {"localhost/", "slash"},
                             {"10.0.0.0/8", "slash"},
                             {"a b", "blank"},
                             {"*.example", "asterisk"},
                             {"::g", "IPv6"}})
        EXPECT_NE(listen_address_problem(bad).find(word), std::string::npos)
            << listen_address_problem(bad);
}

} // namespace
} // namespace rtd
