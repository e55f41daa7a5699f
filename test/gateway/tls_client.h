// TlsClient: the raw client over TLS, with OpenSSL's own client side. It trusts everybody, and
// remembers whom it met.
#pragma once
#include "client.h"

#include <memory>
#include <openssl/err.h>
#include <openssl/ssl.h>

namespace rtd::test {

class TlsClient : public Client {
  public:
    explicit TlsClient(uint16_t port, int receive_buffer_bytes = 0)
        : Client(port, receive_buffer_bytes), context_(SSL_CTX_new(TLS_client_method())),
          ssl_(SSL_new(context_.get())) {
        timeval patience{kPatience.count() / 1000, 0};
        setsockopt(fd(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        SSL_set_fd(ssl_.get(), fd());
        ERR_clear_error();
        is_secure = SSL_connect(ssl_.get()) == 1;
        if (is_secure) {
            std::unique_ptr<X509, decltype(&X509_free)> certificate(
                SSL_get1_peer_certificate(ssl_.get()), X509_free);
            char name[100] = "";
            X509_NAME_get_text_by_NID(X509_get_subject_name(certificate.get()), NID_commonName,
                                      name, sizeof name);
            peer = name;
        }
    }
    ~TlsClient() override { vanish(); }

    bool is_secure = false;
    std::string peer; // the common name of the gateway's certificate
    SSL *ssl() const { return ssl_.get(); }
    // The gateway said that nothing more comes, so nobody has cut the connection.
    bool was_told_the_end() const {
        return (SSL_get_shutdown(ssl_.get()) & SSL_RECEIVED_SHUTDOWN) != 0;
    }

    void send(std::string_view bytes) override {
        if (!bytes.empty())
            SSL_write(ssl_.get(), bytes.data(), static_cast<int>(bytes.size()));
    }
    // Past TLS.
    void send_raw(std::string_view bytes) { Client::send(bytes); }

  protected:
    ssize_t receive(char *bytes, size_t size) override {
        ERR_clear_error();
        int got = SSL_read(ssl_.get(), bytes, static_cast<int>(size));
        EXPECT_FALSE(got <= 0 && SSL_get_error(ssl_.get(), got) == SSL_ERROR_WANT_READ)
            << "the gateway sends nothing to the client";
        return got;
    }

  private:
    template <auto free> struct Freed {
        template <class T> void operator()(T *thing) const { free(thing); }
    };
    std::unique_ptr<SSL_CTX, Freed<SSL_CTX_free>> context_;
    std::unique_ptr<SSL, Freed<SSL_free>> ssl_;
};

} // namespace rtd::test
