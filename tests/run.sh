#!/usr/bin/env bash
# Formatting, lints and every test, on servers of its own.
#
#   tests/run.sh [ARGS…]         the whole check; ARGS go to `cargo test`
#   tests/run.sh --with [CMD…]   starts the servers, runs CMD (or a shell) and stops them again
#   tests/run.sh --serve         starts the servers, and more of them as it reads on standard input, until that ends
#
# Needs Debian and the Rust toolchain. What else is missing (PostgreSQL, PgBouncer, RabbitMQ, promtool, openssl, faketime,
# Chromium and its driver, a linker, Python with the libraries of a mail server and of JSON Schema) is installed with
# apt-get, as root or through sudo; Schemathesis, which makes up requests from the API's description, and the vendor's
# client library from PyPI into the build directory. The first three are private to this run: own directory, own free ports, loopback only; they are gone
# when it ends, however it ends. CMD and the tests see
#
#   TEST_POSTGRES_URL   a superuser on the private PostgreSQL
#   TEST_POSTGRES_SOCKETS  the directory of its Unix socket
#   TEST_PGBOUNCER_URL  the same through PgBouncer, which passes sessions on between transactions
#   TEST_AMQP_URL       the private RabbitMQ
#   TEST_AMQPS_URL      the same with TLS; it asks for a client's certificate
#   TEST_TLS            certificates: ca.pem signed those of the servers and client.pem (client.key), stranger.pem did not
#   TEST_POSTGRES_PID   the private PostgreSQL's postmaster, and of
#   TEST_AMQP_PID       the private RabbitMQ the node; each leads a process group of its own
#   TEST_RABBITMQCTL    rabbitmqctl for that node
#   TEST_PROMTOOL       the program that judges the metrics
#   TEST_SCHEMATHESIS   the one that judges the API
#   TEST_PYTHON         a Python with the vendor's client library
#
# --serve obeys, and says what is new in the same way:
#
#   standby             makes a standby of the PostgreSQL, or of the standby before, which is promoted by now:
#                       TEST_STANDBY_URL, TEST_STANDBY_PID
#   node N              starts RabbitMQ's node N, from 2 on as a member of the first one's cluster, and again after its end:
#                       TEST_AMQP_URL_N, TEST_AMQP_PID_N
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly START_SECONDS=120 STOP_SECONDS=5 START_ATTEMPTS=5
readonly RABBITMQ=/usr/lib/rabbitmq/bin/rabbitmq-server PGBOUNCER=/usr/sbin/pgbouncer
readonly SERVICE_GUARD=/usr/sbin/policy-rc.d

run_dir=
guard_is_ours=
command_pid=
server_pids=()
standbys=0
declare -A node_settings=()

main() {
    trap cleanup EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM

    run_dir=$(mktemp -d -t contact-reaper-tests.XXXXXX)
    chmod 711 "$run_dir" # root runs the servers as users of their own, who must be able to enter
    install_missing
    install_from_pypi
    if [[ ${1-} != --with && ${1-} != --serve ]]; then
        find_cargo
        in_own_group cargo fmt --check
        in_own_group cargo clippy --locked --all-targets -- -D warnings
    fi

    make_certificates
    start_rabbitmq
    start_postgres
    start_pgbouncer
    mkdir "$run_dir/tmp" # what a killed test leaves behind goes with the rest
    export TMPDIR=$run_dir/tmp
    # A panic of a test says where it is, and what the test saw must not get lost above a backtrace.
    export RUST_BACKTRACE=0
    TEST_PROMTOOL=$(command -v promtool)
    TEST_TLS=$run_dir/tls
    readonly NAMES=(TEST_POSTGRES_URL TEST_POSTGRES_SOCKETS TEST_PGBOUNCER_URL TEST_AMQP_URL TEST_AMQPS_URL TEST_TLS TEST_POSTGRES_PID TEST_AMQP_PID
        TEST_RABBITMQCTL)
    export "${NAMES[@]}" TEST_PROMTOOL TEST_SCHEMATHESIS TEST_PYTHON

    if [[ ${1-} == --serve ]]; then
        report "${NAMES[@]}"
        serve
    elif [[ ${1-} == --with ]]; then
        shift
        report "${NAMES[@]}"
        if [[ -t 0 ]]; then
            "${@:-${SHELL:-bash}}"
        else
            in_own_group "${@:-${SHELL:-bash}}"
        fi
    else
        in_own_group cargo test --locked "$@"
    fi
}

say() { printf '%s\n' "$*" >&2; }

report() { # NAME…
    local name
    for name in "$@"; do say "export $name=${!name}"; done
}

die() {
    say "tests/run.sh: $*"
    exit 1
}

is_root() { [[ $EUID == 0 ]]; }

# Runs a command to its end. A signal to this script reaches the command and all it started at once, instead of
# waiting until it is done: hence the group of its own, and `wait`.
in_own_group() {
    # What runs in the background starts with these signals ignored; `env` undoes that.
    setsid env --default-signal=INT,QUIT "$@" <&0 &
    command_pid=$!
    local status=0
    wait "$command_pid" || status=$?
    command_pid=
    return "$status"
}

# --- What must be there ---------------------------------------------------------------------------------------

find_cargo() {
    PATH=$PATH:${CARGO_HOME:-${HOME-}/.cargo}/bin
    command -v cargo >/dev/null || die "cargo is missing: install the Rust toolchain (https://rustup.rs)"
}

# The directory of PostgreSQL's server programs; Debian keeps them out of PATH, one directory a version.
postgres_bin() {
    local initdb
    initdb=$(printf '%s\n' /usr/lib/postgresql/*/bin/initdb | sort -V | tail -n 1)
    [[ -x $initdb ]] && dirname "$initdb"
}

missing_packages() {
    postgres_bin >/dev/null || echo postgresql
    [[ -x $PGBOUNCER ]] || echo pgbouncer
    [[ -x $RABBITMQ ]] || echo rabbitmq-server
    command -v promtool >/dev/null || echo prometheus
    command -v openssl >/dev/null || echo openssl
    /usr/bin/python3 -c 'import aiosmtpd' 2>/dev/null || echo python3-aiosmtpd
    /usr/bin/python3 -c 'import zoneinfo; zoneinfo.ZoneInfo("Europe/Warsaw")' 2>/dev/null || echo python3 tzdata
    /usr/bin/python3 -c 'import jsonschema' 2>/dev/null || echo python3-jsonschema
    /usr/bin/python3 -c 'import ensurepip' 2>/dev/null || echo python3-venv
    command -v faketime >/dev/null || echo faketime
    command -v chromium >/dev/null || echo chromium
    command -v chromedriver >/dev/null || echo chromium-driver
    command -v cc >/dev/null || echo gcc libc6-dev
}

install_missing() {
    local packages
    read -r -d '' -a packages < <(missing_packages) || true
    [[ ${#packages[@]} == 0 ]] && return
    say "installing ${packages[*]}"
    command -v apt-get >/dev/null || die "needs ${packages[*]}, and there is no apt-get to install them with"
    is_root || command -v sudo >/dev/null || die "needs ${packages[*]}: install them, or run this as root"

    # Debian starts a server as soon as it is installed; this policy forbids it while we install ours.
    if [[ ! -e $SERVICE_GUARD ]]; then
        guard_is_ours=yes
        printf '#!/bin/sh\nexit 101\n' | as_root install -m 755 /dev/stdin "$SERVICE_GUARD"
    fi
    local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300)
    as_root "${apt[@]}" update >"$run_dir/apt.log" 2>&1 ||
        say "apt-get update failed; trying with the package lists as they are"
    as_root "${apt[@]}" install --no-install-recommends "${packages[@]}" >>"$run_dir/apt.log" 2>&1 || {
        tail -n 50 "$run_dir/apt.log" >&2
        die "apt-get could not install ${packages[*]}; its log is above"
    }
    remove_guard

    packages=$(missing_packages)
    [[ -z $packages ]] || die "still missing after the installation: $packages"
}

as_root() { if is_root; then "$@"; else sudo "$@"; fi; }

remove_guard() {
    [[ -z $guard_is_ours ]] || as_root rm -f "$SERVICE_GUARD"
    guard_is_ours=
}

# Once, by the versions in tests/pypi.txt.
install_from_pypi() {
    local dir
    dir=$(realpath -m "${CARGO_TARGET_DIR:-target}")/pypi
    TEST_SCHEMATHESIS=$dir/bin/schemathesis TEST_PYTHON=$dir/bin/python
    cmp -s tests/pypi.txt "$dir/installed.txt" && return
    say "installing Schemathesis and the vendor's client library"
    rm -rf "$dir"
    {
        /usr/bin/python3 -m venv "$dir" &&
            "$dir/bin/pip" install --disable-pip-version-check -r tests/pypi.txt &&
            cp tests/pypi.txt "$dir/installed.txt"
    } >"$run_dir/pip.log" 2>&1 || {
        tail -n 20 "$run_dir/pip.log" >&2
        die "pip could not install the packages of tests/pypi.txt; its log is above"
    }
}

# --- The servers ----------------------------------------------------------------------------------------------

# A directory for one server, owned by the user it will run as.
server_dir() { # NAME USER
    rm -rf "${run_dir:?}/$1"
    mkdir -m 700 "$run_dir/$1"
    if is_root; then chown "$2:" "$run_dir/$1"; fi
    echo "$run_dir/$1"
}

# Becomes a server: its user where we are root, its directory, nothing of our environment but what is given, no
# terminal signals; and it dies with us, even of a SIGKILL that leaves us no time to clean up.
become() { # USER DIRECTORY [NAME=VALUE…] COMMAND…
    local user=() dir=$2
    if is_root; then user=(--reuid "$1" --regid "$(id -g "$1")" --init-groups); fi
    shift 2
    cd "$dir"
    exec setsid setpriv "${user[@]}" --pdeathsig QUIT \
        env -i --default-signal=INT,QUIT PATH="$PATH" HOME="$dir" "$@"
}

server_started() { # PID
    server_pids+=("$1")
    disown "$1" # or the shell would remark on its end
}

free_port() {
    local port
    while :; do
        port=$((RANDOM % 16000 + 16000)) # below the ports the kernel hands out by itself
        (: <>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
    done
    echo "$port"
}

# Waits until a condition holds; fails at once if the process ends, or at the deadline.
await() { # PID COMMAND…
    local pid=$1 deadline=$((SECONDS + START_SECONDS))
    shift
    until "$@" 2>/dev/null; do
        kill -0 "$pid" 2>/dev/null && ((SECONDS < deadline)) || return 1
        sleep 0.05
    done
}

# A certificate and its key in $run_dir/tls, signed by the authority of that name, or by itself.
certificate() { # NAME SUBJECT AUTHORITY [EXTENSION…]
    local dir=$run_dir/tls name=$1 subject=$2 authority=$3 signed=() extension
    [[ $authority == "$name" ]] || signed=(-CA "$dir/$authority.pem" -CAkey "$dir/$authority.key")
    for extension in "${@:4}"; do signed+=(-addext "$extension"); done
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj "/CN=$subject" \
        "${signed[@]}" -keyout "$dir/$name.key" -out "$dir/$name.pem" 2>"$run_dir/openssl.log" || {
        cat "$run_dir/openssl.log" >&2
        die "openssl makes no certificate; its output is above"
    }
}

make_certificates() {
    mkdir "$run_dir/tls"
    certificate ca "contact-reaper tests" ca
    certificate stranger "somebody else" stranger
    certificate server localhost ca basicConstraints=critical,CA:FALSE subjectAltName=DNS:localhost
    certificate client certified ca basicConstraints=critical,CA:FALSE extendedKeyUsage=clientAuth
}

# The server's key, for a server that runs as a user of its own.
lend_key() { # DIRECTORY USER
    install -m 600 "$run_dir/tls/server.key" "$1/server.key"
    if is_root; then chown "$2" "$1/server.key"; fi
}

start_rabbitmq() {
    start_node 1
    TEST_AMQP_PID=$TEST_AMQP_PID_1
    TEST_AMQP_URL=$TEST_AMQP_URL_1
}

# Starts a node: a new one on ports of its own, one that was there before as it was. A port that was free may be taken a
# moment later, by another run for one: it is tried again with others.
start_node() { # N
    local log=$run_dir/rabbitmq-$1.log new=${node_settings[$1]+no}
    for ((attempt = 1; attempt <= START_ATTEMPTS; attempt++)); do
        [[ $new == no ]] || configure_node "$1" "$(free_port)" "$(free_port)" "$(free_port)"
        launch_node "$1" "$log"
        await "${server_pids[-1]}" grep -q 'completed with . plugins' "$log" && return
        stop "${server_pids[-1]}" QUIT
    done
    tail -n 50 "$log" >&2
    die "RabbitMQ does not start; its log is above"
}

configure_node() { # N PORT DISTRIBUTION_PORT TLS_PORT
    local dir
    dir=$(server_dir "rabbitmq-$1" rabbitmq)
    if [[ $1 == 1 ]]; then
        first_node="contact-reaper-$2@localhost"
        start_epmd "$dir" "$(free_port)"
        TEST_AMQPS_URL=amqps://guest:guest@localhost:$4/%2f
    fi
    lend_key "$dir" rabbitmq
    cat >"$dir/rabbitmq.conf" <<-END
	listeners.ssl.default = 127.0.0.1:$4
	ssl_options.cacertfile = $run_dir/tls/ca.pem
	ssl_options.certfile = $run_dir/tls/server.pem
	ssl_options.keyfile = $dir/server.key
	ssl_options.verify = verify_peer
	ssl_options.fail_if_no_peer_cert = true
	END
    if [[ $1 != 1 ]]; then
        # Who shares the first one's cookie is let into its cluster.
        install -m 400 "$run_dir/rabbitmq-1/.erlang.cookie" "$dir/.erlang.cookie"
        if is_root; then chown rabbitmq "$dir/.erlang.cookie"; fi
        cat >>"$dir/rabbitmq.conf" <<-END
	cluster_formation.peer_discovery_backend = classic_config
	cluster_formation.classic_config.nodes.1 = $first_node
	END
    fi
    local settings=(
        "${epmd[@]}"
        RABBITMQ_NODENAME="contact-reaper-$2@localhost"
        RABBITMQ_NODE_IP_ADDRESS=127.0.0.1
        RABBITMQ_NODE_PORT="$2"
        RABBITMQ_DIST_PORT="$3"
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='-kernel inet_dist_use_interface {127,0,0,1}'
        RABBITMQ_CONF_ENV_FILE="$dir/none"
        RABBITMQ_CONFIG_FILE="$dir/rabbitmq"
        RABBITMQ_ADVANCED_CONFIG_FILE="$dir/none"
        RABBITMQ_ENABLED_PLUGINS_FILE="$dir/none"
        RABBITMQ_GENERATED_CONFIG_DIR="$dir/config"
        RABBITMQ_MNESIA_BASE="$dir/mnesia"
        RABBITMQ_LOG_BASE="$dir/log"
        RABBITMQ_LOGS=-
        RUNNING_UNDER_SYSTEMD=true # the script becomes the server, instead of a parent that waits for it
    )
    node_settings[$1]=${settings[*]@Q}
    printf -v "TEST_AMQP_URL_$1" %s "amqp://guest:guest@127.0.0.1:$2/%2f"
    if [[ $1 == 1 ]]; then write_rabbitmqctl "$dir" "${settings[@]}"; fi
}

# Started here rather than by the node, which would leave it behind; all nodes share it.
start_epmd() { # DIRECTORY PORT
    epmd=(ERL_EPMD_ADDRESS=127.0.0.1 ERL_EPMD_PORT="$2")
    become rabbitmq "$1" "${epmd[@]}" epmd </dev/null >"$run_dir/epmd.log" 2>&1 &
    server_started "$!"
}

launch_node() { # N LOG
    local -a settings="(${node_settings[$1]})"
    : >"$2" # or what the node said in its last life would be taken for its readiness
    become rabbitmq "$run_dir/rabbitmq-$1" "${settings[@]}" "$RABBITMQ" </dev/null >"$2" 2>&1 &
    server_started "$!"
    printf -v "TEST_AMQP_PID_$1" %s "$!"
}

# The node lets in whoever shares its cookie, which lies in its directory.
write_rabbitmqctl() { # DIRECTORY SETTING…
    local command=(setpriv)
    if is_root; then command+=(--reuid rabbitmq --regid "$(id -g rabbitmq)" --init-groups); fi
    command+=(env -i PATH="$PATH" HOME="$1" "${@:2}" "${RABBITMQ%-server}ctl")
    TEST_RABBITMQCTL=$run_dir/rabbitmqctl
    printf '#!/bin/sh\ncd %q\nexec %s "$@"\n' "$1" "${command[*]@Q}" >"$TEST_RABBITMQCTL"
    chmod 755 "$TEST_RABBITMQCTL"
}

start_postgres() {
    local dir bin
    dir=$(server_dir postgres postgres)
    bin=$(postgres_bin)
    (become postgres "$dir" "$bin/initdb" -D "$dir/data" -U postgres --auth=trust --encoding=UTF8 \
        --locale=C.UTF-8 --no-sync) >"$run_dir/initdb.log" 2>&1 || {
        cat "$run_dir/initdb.log" >&2
        die "initdb failed; its output is above"
    }
    lend_key "$dir" postgres
    # Whoever is called so has to show a certificate.
    sed -i '1i hostssl all certified 127.0.0.1/32 cert\nhost all certified all reject' "$dir/data/pg_hba.conf"
    for ((attempt = 1; attempt <= START_ATTEMPTS; attempt++)); do
        launch_postgres "$dir" "$bin" "$(free_port)"
        await "${server_pids[-1]}" grep -q '^ready' "$dir/data/postmaster.pid" && return
        stop "${server_pids[-1]}" QUIT
    done
    tail -n 50 "$run_dir/postgres.log" >&2
    die "PostgreSQL does not start; its log is above"
}

# Without fsync a commit survives the death of the server, which tests cause, but not that of the machine. Whoever wants
# another server gives it options in TEST_POSTGRES_OPTIONS.
launch_postgres() { # DIRECTORY BIN PORT
    local options
    read -ra options <<<"${TEST_POSTGRES_OPTIONS-}"
    become postgres "$1" "$2/postgres" -D "$1/data" -p "$3" -c listen_addresses=127.0.0.1,::1 \
        -c unix_socket_directories="$1" -c max_connections=400 -c fsync=off -c full_page_writes=off \
        -c ssl=on -c ssl_ca_file="$run_dir/tls/ca.pem" -c ssl_cert_file="$run_dir/tls/server.pem" \
        -c ssl_key_file="$1/server.key" "${options[@]}" </dev/null >"$run_dir/postgres.log" 2>&1 &
    server_started "$!"
    TEST_POSTGRES_PID=$!
    TEST_POSTGRES_URL=postgres://postgres@127.0.0.1:$3/postgres?sslmode=disable
    TEST_POSTGRES_SOCKETS=$1
    postgres_port=$3
}

# Who asks is the superuser. Few sessions for many: they change hands all the time.
start_pgbouncer() {
    local dir
    for ((attempt = 1; attempt <= START_ATTEMPTS; attempt++)); do
        dir=$(server_dir pgbouncer postgres)
        launch_pgbouncer "$dir" "$(free_port)"
        await "${server_pids[-1]}" grep -q 'process up' "$run_dir/pgbouncer.log" && return
        stop "${server_pids[-1]}" QUIT
    done
    tail -n 50 "$run_dir/pgbouncer.log" >&2
    die "PgBouncer does not start; its log is above"
}

launch_pgbouncer() { # DIRECTORY PORT
    cat >"$run_dir/pgbouncer.ini" <<-END
	[databases]
	* = host=127.0.0.1 port=$postgres_port user=postgres
	[pgbouncer]
	listen_addr = 127.0.0.1
	listen_port = $2
	unix_socket_dir =
	auth_type = any
	pool_mode = transaction
	default_pool_size = 3
	max_client_conn = 500
	server_login_retry = 1
	END
    become postgres "$1" "$PGBOUNCER" "$run_dir/pgbouncer.ini" </dev/null >"$run_dir/pgbouncer.log" 2>&1 &
    server_started "$!"
    TEST_PGBOUNCER_URL=postgres://postgres@127.0.0.1:$2/postgres?sslmode=disable
}

# Of the last standby where there is one: it is to be promoted before that.
start_standby() {
    local dir bin primary=${TEST_STANDBY_URL-$TEST_POSTGRES_URL}
    standbys=$((standbys + 1))
    dir=$(server_dir "standby-$standbys" postgres)
    bin=$(postgres_bin)
    (become postgres "$dir" "$bin/pg_basebackup" -d "$primary" -D "$dir/data" -R -c fast --no-sync) \
        >"$run_dir/basebackup.log" 2>&1 || {
        cat "$run_dir/basebackup.log" >&2
        die "pg_basebackup failed; its output is above"
    }
    for ((attempt = 1; attempt <= START_ATTEMPTS; attempt++)); do
        launch_standby "$dir" "$bin" "$(free_port)"
        await "${server_pids[-1]}" grep -q '^ready' "$dir/data/postmaster.pid" && return
        stop "${server_pids[-1]}" QUIT
    done
    tail -n 50 "$run_dir/standby.log" >&2
    die "the standby does not start; its log is above"
}

launch_standby() { # DIRECTORY BIN PORT
    become postgres "$1" "$2/postgres" -D "$1/data" -p "$3" -c listen_addresses=127.0.0.1 \
        -c unix_socket_directories= -c max_connections=400 -c fsync=off -c full_page_writes=off \
        </dev/null >"$run_dir/standby.log" 2>&1 &
    server_started "$!"
    TEST_STANDBY_PID=$!
    TEST_STANDBY_URL=postgres://postgres@127.0.0.1:$3/postgres?sslmode=disable
}

# --- More of them, on demand ----------------------------------------------------------------------------------

serve() {
    local order number
    while read -r order number; do
        case $order in
        standby)
            start_standby
            report TEST_STANDBY_URL TEST_STANDBY_PID
            ;;
        node)
            start_node "$number"
            report "TEST_AMQP_URL_$number" "TEST_AMQP_PID_$number"
            ;;
        *) die "what is '$order'?" ;;
        esac
    done
}

# --- The end --------------------------------------------------------------------------------------------------

# Ends a process, or with a minus sign a group: politely, and by force after a while.
stop() { # PID SIGNAL
    local deadline=$((SECONDS + STOP_SECONDS))
    kill "-$2" -- "$1" 2>/dev/null || return 0
    while kill -0 -- "$1" 2>/dev/null; do
        if ((SECONDS > deadline)); then
            kill -KILL -- "$1" 2>/dev/null || true
            return 0
        fi
        sleep 0.02
    done
}

cleanup() {
    local status=$?
    trap - EXIT
    trap '' HUP INT TERM
    [[ -z $command_pid ]] || stop "-$command_pid" TERM
    # What they hold is thrown away: SIGQUIT makes all leave at once, but tidily.
    for pid in "${server_pids[@]}"; do stop "$pid" QUIT; done
    [[ -z $run_dir ]] || rm -rf "$run_dir"
    remove_guard
    exit "$status"
}

main "$@"
