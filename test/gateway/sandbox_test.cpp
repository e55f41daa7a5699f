// What the gateway has given up: seen from inside, by a process that does the same, and from
// outside on the real one.
#include "client.h"
#include "gateway/sandbox.h"

#include <cerrno>
#include <fstream>
#include <grp.h>
#include <sstream>
#include <sys/prctl.h>

namespace rtd::test {
namespace {

constexpr uid_t kNobody = 65534;

// The limit on processes does not hold for root, and the gateway never runs as root.
void stop_being_root() {
    if (getuid() != 0)
        return;
    ASSERT_EQ(setgroups(0, nullptr), 0);
    ASSERT_EQ(setgid(kNobody), 0);
    ASSERT_EQ(setuid(kNobody), 0);
}

// 0, or the errno.
int try_to_open(const std::string &path, int flags) {
    int fd = open(path.c_str(), flags | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno;
    close(fd);
    return 0;
}

int try_to_connect(uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int error = connect(fd, reinterpret_cast<sockaddr *>(&address), sizeof address) ? errno : 0;
    close(fd);
    return error;
}

int try_to_bind() {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int error = bind(fd, reinterpret_cast<sockaddr *>(&address), sizeof address) ? errno : 0;
    close(fd);
    return error;
}

uint16_t listen_somewhere() {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT_EQ(bind(fd, reinterpret_cast<sockaddr *>(&address), size), 0);
    EXPECT_EQ(listen(fd, 5), 0);
    getsockname(fd, reinterpret_cast<sockaddr *>(&address), &size);
    return ntohs(address.sin_port); // the socket lives as long as the process
}

// A process of the same user that ends when `pipe` is closed.
pid_t start_bystander(int pipe[2]) {
    EXPECT_EQ(pipe2(pipe, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(pipe[1]);
        char byte;
        _exit(static_cast<int>(read(pipe[0], &byte, 1)));
    }
    return pid;
}

// Runs `check` in a process of its own, as what it does cannot be undone.
template <class Check> void in_a_child(Check check) {
    std::fflush(stdout); // or the child says it again
    pid_t pid = fork();
    ASSERT_GE(pid, 0);
    if (pid == 0) {
        stop_being_root();
        if (!testing::Test::HasFailure())
            check();
        std::fflush(stdout);
        _exit(testing::Test::HasFailure() ? 1 : 0);
    }
    int status = -1;
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 0) << "see above";
}

std::string read_file(const std::string &path) {
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
}

TEST(Sandbox, takes_files_programs_processes_other_processes_and_ports_away) {
    char directory[] = "/tmp/rtd-sandbox-XXXXXX";
    ASSERT_TRUE(mkdtemp(directory));
    ASSERT_EQ(chmod(directory, 0777), 0);
    std::string file = std::string(directory) + "/file";
    in_a_child([&] {
        int version = gateway::landlock_version();
        uint16_t port = listen_somewhere();
        int pipe[2];
        pid_t bystander = start_bystander(pipe);
        ASSERT_GT(bystander, 0);
        // All of this can be done before.
        EXPECT_EQ(try_to_open("/etc/passwd", O_RDONLY), 0);
        EXPECT_EQ(try_to_open(file, O_WRONLY | O_CREAT), 0);
        EXPECT_EQ(access("/bin/false", X_OK), 0);
        EXPECT_EQ(kill(bystander, 0), 0);
        EXPECT_EQ(try_to_connect(port), 0);
        EXPECT_EQ(try_to_bind(), 0);

        EXPECT_EQ(gateway::enter_sandbox().find("Landlock") != std::string::npos, version == 0);

        EXPECT_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
        EXPECT_EQ(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), 0);
        pid_t child = fork();
        if (child == 0)
            _exit(0);
        EXPECT_EQ(child, -1);
        EXPECT_EQ(errno, EAGAIN);
        if (version >= 1) {
            EXPECT_EQ(try_to_open("/etc/passwd", O_RDONLY), EACCES);
            EXPECT_EQ(try_to_open(file, O_WRONLY), EACCES);
            EXPECT_EQ(try_to_open(file + "2", O_WRONLY | O_CREAT), EACCES);
            EXPECT_EQ(try_to_open(directory, O_RDONLY | O_DIRECTORY), EACCES);
            EXPECT_EQ(unlink(file.c_str()), -1);
            EXPECT_EQ(try_to_open("/etc/hosts", O_RDONLY), EACCES);
            char *arguments[] = {const_cast<char *>("false"), nullptr}; // which would be seen
            EXPECT_EQ(execv("/bin/false", arguments), -1);
            EXPECT_EQ(errno, EACCES);
        }
        if (version >= 4) {
            EXPECT_EQ(try_to_connect(port), EACCES);
            EXPECT_EQ(try_to_bind(), EACCES);
        }
        if (version >= 6) {
            EXPECT_EQ(kill(bystander, 0), -1);
            EXPECT_EQ(errno, EPERM);
        }
        close(pipe[1]);
        EXPECT_EQ(waitpid(bystander, nullptr, 0), bystander);
    });
    EXPECT_EQ(unlink(file.c_str()), 0);
    EXPECT_EQ(rmdir(directory), 0);
}

TEST(Sandbox, is_entered_by_the_gateway_before_it_says_that_it_listens) {
    GatewayProcess gateway(local_settings());
    std::string proc = "/proc/" + std::to_string(gateway.pid());
    std::string status = read_file(proc + "/status");
    EXPECT_NE(status.find("\nNoNewPrivs:\t1\n"), std::string::npos) << status;
    EXPECT_NE(status.find("\nThreads:\t1\n"), std::string::npos) << status;
    std::istringstream limits(read_file(proc + "/limits"));
    std::string line;
    while (std::getline(limits, line) && !line.starts_with("Max processes"))
        ;
    std::istringstream words(line.substr(std::min(line.size(), size_t(13))));
    std::string soft, hard;
    words >> soft >> hard;
    EXPECT_EQ(soft + " " + hard, "0 0") << line;
}

} // namespace
} // namespace rtd::test
