// TLS files: the gateway's certificate and key as the hub reads them. The hub does it, because it
// runs as the server's user, and the gateway touches no file once it has started.
#pragma once
#include "core/fence.h"
#include "core/link.h"

namespace rtd::pg {

// Fills in what `settings` say of TLS, from the files of rtd.ssl_cert_file and rtd.ssl_key_file as
// they are now: also after a reload that changed nothing but their contents. What stands in the way
// goes to `tls_problem`: the gateway then goes on as before, or does not listen at all.
void read_tls_files(link::Settings &settings);

} // namespace rtd::pg
