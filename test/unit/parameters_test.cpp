// The same value in another spelling is the same instance: what the router makes of it.
#include "router_fixture.h"

#include "core/envelope.h"

namespace rtd {
namespace {

class Parameters : public RouterTest {
  protected:
    Parameters() {
        add("order", TopicKind::state).parameters = {"id"};
        add("room", TopicKind::event).parameters = {"name"};
        apply();
        host.texts = {{"042", "42"}};
        host.matches = {{"Lobby", "#1"}, {"LOBBY", "#1"}};
    }
};

TEST_F(Parameters, two_spellings_are_one_instance_and_both_are_told_its_parameters) {
    subscribe(1, "order", {"042"});
    subscribe(2, "order", {"42"});
    EXPECT_EQ(router.instance_count(), 1U);
    for (const link::Subscribed &subscribed : host.take_all<link::Subscribed>())
        EXPECT_EQ(subscribed.params, (std::vector<std::string>{"42"}));
    ASSERT_EQ(jobs_due(), 1U);
    EXPECT_EQ(jobs[0].params, (std::vector<std::string>{"42"}));
}

TEST_F(Parameters, a_text_that_is_no_value_is_refused_and_makes_no_instance) {
    host.bad = {"abc"};
    subscribe(1, "order", {"abc"});
    std::vector<link::Ended> ended = host.take_all<link::Ended>();
    ASSERT_EQ(ended.size(), 1U);
    EXPECT_EQ(ended[0].code, CloseCode::bad_request);
    EXPECT_EQ(ended[0].reason, "no such value: abc");
    EXPECT_EQ(router.instance_count(), 0U);
    EXPECT_TRUE(host.interest.empty());
}

TEST_F(Parameters, equal_values_with_several_texts_have_the_text_of_the_first) {
    subscribe(1, "order", {"Lobby"});
    subscribe(2, "order", {"LOBBY"});
    EXPECT_EQ(router.instance_count(), 1U);
    for (const link::Subscribed &subscribed : host.take_all<link::Subscribed>())
        EXPECT_EQ(subscribed.params, (std::vector<std::string>{"Lobby"}));
    EXPECT_TRUE(host.interest.contains(instance_key("order", {"#1"})));
    ASSERT_EQ(jobs_due(), 1U);
    EXPECT_EQ(jobs[0].params, (std::vector<std::string>{"Lobby"}));
}

TEST_F(Parameters, an_event_finds_the_instance_by_what_matches) {
    subscribe(1, "room", {"LOBBY"});
    host.take();
    broadcast("room", "1", {"#1"});
    broadcast("room", "2", {"#2"});
    std::vector<link::Message> messages = host.take_all<link::Message>();
    ASSERT_EQ(messages.size(), 1U);
    EXPECT_NE(messages[0].body.find(R"("params":["LOBBY"])"), std::string::npos);
}

TEST_F(Parameters, other_types_keep_the_instances_whose_parameters_stay_as_they_are) {
    subscribe(1, "room", {"042x"});
    subscribe(2, "room", {"7"});
    host.take();
    host.bad = {"042x"};
    alter("room").parameter_types = {{23, 0, true}};
    apply();
    std::vector<link::Ended> ended = host.take_all<link::Ended>();
    ASSERT_EQ(ended.size(), 1U);
    EXPECT_EQ(ended[0].subscription, 1U);
    EXPECT_EQ(ended[0].code, CloseCode::topic_changed);
}

TEST(Envelope, has_other_parameters_and_nothing_else) {
    std::vector<std::string> params = {R"(a"],"id":"1)", "b"};
    std::string data = R"({"x":",\"params\":[","params":["1"],"id":"7"})";
    std::string message = to_json({.type = "t",
                                   .data = data,
                                   .source = "event",
                                   .topic = "t",
                                   .params = &params,
                                   .id = "1-2",
                                   .kind = "event"});
    std::vector<std::string> others = {"c"};
    std::string expected = to_json({.type = "t",
                                    .data = data,
                                    .source = "event",
                                    .topic = "t",
                                    .params = &others,
                                    .id = "1-2",
                                    .kind = "event"});
    EXPECT_EQ(with_params(message, others), expected);
}

} // namespace
} // namespace rtd
