// Abuse: clients that send anything, in any order, and leave as they like, while the hub goes about
// its business. The seed is fixed, so that a failure comes again; the kernel's timing is not.
#include "client.h"

#include <deque>
#include <random>
#include <set>
#include <sys/resource.h>

namespace rtd::test {
namespace {

using namespace rtd::link;

class Abuse {
  public:
    explicit Abuse(GatewayProcess &gateway) : gateway_(gateway) {}

    void one_client() {
        Client &client = *clients_.emplace_back(std::make_unique<Client>(gateway_.port));
        client.send(request());
        for (int frames = below(7); frames > 0; frames--) {
            client.send(frame());
            if (chance(30))
                client.skim();
        }
        if (clients_.size() <= 30)
            return;
        size_t leaving = static_cast<size_t>(below(30));
        if (chance(30))
            clients_[leaving]->reset();
        clients_.erase(clients_.begin() + static_cast<ptrdiff_t>(leaving));
    }

    // What a hub does: answers, and now and then sends a message to somebody.
    void one_turn_of_the_hub() {
        while (auto frame = gateway_.poll_frame()) {
            if (auto *subscribe = std::get_if<Subscribe>(&*frame))
                answer(*subscribe);
            if (auto *publish = std::get_if<Publish>(&*frame))
                gateway_.send(Published{publish->client, publish->request, 1, chance(50),
                                        CloseCode::forbidden, "no"});
            if (auto *probe = std::get_if<Probe>(&*frame))
                gateway_.send(Probed{probe->probe, chance(50), "so it is"});
            if (auto *connected = std::get_if<ClientConnected>(&*frame)) {
                EXPECT_TRUE(connected_.insert(connected->client).second);
            }
            if (auto *gone = std::get_if<ClientDisconnected>(&*frame)) {
                EXPECT_EQ(connected_.erase(gone->client), 1u);
            }
        }
        if (chance(50))
            gateway_.send(Message{instance(), audience(), body(), "1-1"});
        if (chance(20))
            gateway_.send(Control{instance(), body()});
        if (chance(2))
            gateway_.send(EndUntold{instance(), CloseCode::unavailable, "stale"});
        if (chance(20))
            gateway_.send(Replayed{last_subscription_, body(), "1-1"});
        if (chance(5))
            gateway_.send(Ended{last_subscription_, CloseCode::topic_dropped, "gone"});
    }

    void everybody_leaves() {
        clients_.clear();
        EXPECT_TRUE(eventually([&] {
            one_turn_of_the_hub();
            return connected_.empty();
        }));
    }

  private:
    int below(int limit) { return static_cast<int>(random_() % static_cast<unsigned>(limit)); }
    bool chance(int percent) { return below(100) < percent; }
    Audience audience() { return chance(50) ? Audience::live : Audience::waiting; }
    std::string body() {
        constexpr size_t kSizes[] = {10, 1000, 70000, 300000};
        return std::string(kSizes[below(4)], 'z');
    }

    uint64_t instance() { return static_cast<uint64_t>(below(5)); }

    void answer(const Subscribe &subscribe) {
        last_subscription_ = subscribe.subscription;
        if (chance(20))
            gateway_.send(Ended{subscribe.subscription, CloseCode::unknown_topic, "no"});
        else
            gateway_.send(Subscribed{subscribe.subscription, instance(),
                                     static_cast<TopicKind>(below(3)), chance(50), chance(20)});
    }

    std::string request() {
        const std::string kOthers[] = {"GET /readyz HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\n\r\n",
                                       "HEAD /healthz HTTP/1.0\r\n\r\n",
                                       "POST /ws/queue HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello"};
        const std::string kFetches[] = {"GET /sse/queue HTTP/1.1\r\n\r\n",
                                        "GET /api/v1/topics/queue HTTP/1.1\r\n\r\n",
                                        "OPTIONS /sse/queue HTTP/1.1\r\nOrigin: null\r\n\r\n"};
        std::string head = Client::upgrade_head(chance(50) ? "/ws" : "/ws/queue");
        if (chance(20))
            head = kOthers[below(4)];
        else if (chance(30))
            head = kFetches[below(3)];
        for (int i = chance(20) ? 1 + below(4) : 0; i > 0; i--)
            head[static_cast<size_t>(below(static_cast<int>(head.size())))] =
                static_cast<char>(below(256));
        if (chance(10))
            head.resize(static_cast<size_t>(below(static_cast<int>(head.size()))));
        return head;
    }

    std::string client_message() {
        constexpr std::string_view kActions[] = {"subscribe", "subscribe", "unsubscribe",
                                                 "publish",   "ping",      "dance"};
        std::string action(kActions[below(6)]);
        std::string text = "{\"action\":\"" + action + "\"";
        if (action != "ping" || chance(10))
            text += ",\"topic\":\"t" + std::to_string(below(10)) + "\"";
        if (action == "publish")
            text += ",\"data\":[1,{\"a\":null}]";
        text += ",\"ref\":" + std::to_string(below(10)) + "}";
        for (int i = chance(20) ? 1 + below(3) : 0; i > 0; i--)
            text[static_cast<size_t>(below(static_cast<int>(text.size())))] =
                static_cast<char>(32 + below(96));
        return text;
    }

    std::string frame() {
        if (chance(50))
            return Client::make_frame(kText, client_message(), true, true);
        constexpr size_t kSizes[] = {0, 1, 2, 10, 125, 126, 1000, 6000, 70000};
        std::string payload(kSizes[below(9)], 'a');
        if (chance(30))
            for (char &c : payload)
                c = static_cast<char>(below(256));
        if (chance(20))
            return payload;
        constexpr int kUsual[] = {kContinuation, kText, kText, kBinary, kClose, kPing, kPong};
        return Client::make_frame(chance(90) ? kUsual[below(7)] : below(16), payload, chance(70),
                                  chance(90));
    }

    GatewayProcess &gateway_;
    std::mt19937 random_{20240229};
    std::deque<std::unique_ptr<Client>> clients_;
    std::set<uint64_t> connected_;
    uint64_t last_subscription_ = 0;
};

TEST(Abuse, of_every_kind_leaves_the_gateway_alive_and_nobody_behind) {
    Settings settings = local_settings();
    settings.max_clients = 50;
    settings.max_client_message_bytes = 5000;
    settings.client_buffer_bytes = 100000;
    settings.ping_interval_ms = 300;
    GatewayProcess gateway(settings);
    Abuse abuse(gateway);
    for (int i = 0; i < 2000 && gateway.is_alive(); i++) {
        abuse.one_client();
        abuse.one_turn_of_the_hub();
    }
    ASSERT_TRUE(gateway.is_alive());
    abuse.everybody_leaves();
    Client polite(gateway.port);
    EXPECT_NE(polite.request("GET", "/healthz").find("200 OK"), std::string::npos);
}

TEST(Abuse, of_all_open_files_lasts_only_as_long_as_the_abuser) {
    GatewayProcess gateway(local_settings());
    rlimit few{24, 24};
    ASSERT_EQ(prlimit(gateway.pid(), RLIMIT_NOFILE, &few, nullptr), 0);
    std::vector<std::unique_ptr<Client>> greedy;
    for (int i = 0; i < 40; i++) {
        greedy.push_back(std::make_unique<Client>(gateway.port));
        greedy.back()->send(Client::upgrade_head("/ws/queue"));
    }
    EXPECT_EQ(greedy.front()->read_head(), 101);
    greedy.clear();
    Client polite(gateway.port);
    EXPECT_NE(polite.request("GET", "/healthz").find("200 OK"), std::string::npos);
    EXPECT_TRUE(gateway.is_alive());
}

} // namespace
} // namespace rtd::test
