#include "pg/hub/tls_files.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <string>
#include <sys/stat.h>
#include <unistd.h>

#include "pg/server/settings.h"

#include "pg/server/prelude.h"

namespace rtd::pg {

namespace {

constexpr off_t kMaxFileBytes = 1 << 20;

struct OpenFile {
    int fd;
    ~OpenFile() {
        if (fd >= 0)
            close(fd);
    }
};

// The server's rule for its own key.
bool is_private(const struct stat &status) {
    bool is_roots = status.st_uid == 0;
    mode_t others = is_roots ? S_IWGRP | S_IXGRP | S_IRWXO : S_IRWXG | S_IRWXO;
    return (is_roots || status.st_uid == geteuid()) && (status.st_mode & others) == 0;
}

// False, with errno, if it cannot be read. A file that gets shorter meanwhile is read to its end.
bool read_all(int fd, std::string &text) {
    size_t got = 0;
    while (got < text.size()) {
        ssize_t part = read(fd, text.data() + got, text.size() - got);
        if (part < 0 && errno != EINTR)
            return false;
        if (part == 0)
            break;
        got += static_cast<size_t>(std::max<ssize_t>(part, 0));
    }
    text.resize(got);
    return true;
}

Problem system_problem(const std::string &what, const std::string &file) {
    return {"could not " + what + " " + file + ": " + std::strerror(errno)};
}

// A relative path starts in the data directory, where the server's processes live.
Result<std::string> read_file(const char *kind, const char *path, bool must_be_private) {
    std::string file = std::string(kind) + " \"" + path + "\"";
    OpenFile open_file{open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)}; // a pipe may not hold us up
    struct stat status;
    if (open_file.fd < 0)
        return system_problem("open", file);
    if (fstat(open_file.fd, &status) != 0)
        return system_problem("look at", file);
    if (!S_ISREG(status.st_mode))
        return Problem{file + " is not a regular file"};
    if (must_be_private && !is_private(status))
        return Problem{file + " may be read by others: it must belong to the server's user with " +
                       "mode 0600 or less, or to root with mode 0640 or less"};
    if (status.st_size > kMaxFileBytes)
        return Problem{file + " is larger than 1 MB"};
    std::string text(static_cast<size_t>(status.st_size), '\0');
    if (!read_all(open_file.fd, text))
        return system_problem("read", file);
    if (text.empty())
        return Problem{file + " is empty"};
    return text;
}

// What stands in the way, or an empty string.
std::string load(link::Settings &settings) {
    if (*ssl_key_file == '\0')
        return "rtd.ssl_cert_file is set, and rtd.ssl_key_file is not";
    if (*ssl_cert_file == '\0')
        return "rtd.ssl_key_file is set, and rtd.ssl_cert_file is not";
    Result<std::string> certificate = read_file("certificate file", ssl_cert_file, false);
    if (!certificate)
        return certificate.error();
    Result<std::string> key = read_file("private key file", ssl_key_file, true);
    if (!key)
        return key.error();
    settings.tls_certificate = std::move(*certificate);
    settings.tls_key = std::move(*key);
    return {};
}

} // namespace

void read_tls_files(link::Settings &settings) {
    settings.tls_min_version = static_cast<link::TlsVersion>(ssl_min_protocol_version);
    settings.tls = *ssl_cert_file != '\0' || *ssl_key_file != '\0';
    if (settings.tls)
        settings.tls_problem = load(settings);
}

} // namespace rtd::pg
