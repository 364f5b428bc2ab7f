//! Descriptor tables of real processes: captured, made anew in another process, refused by name.

use std::io::Read;
use std::os::fd::AsFd;

use dsu_formats::model::latest::{Descriptors, EpollWatch, Kind, PipeEnd, SocketState};

use super::*;
use crate::resources::Obstacle;
use crate::resources::testing::Target;
use crate::resources::timers::Path;
use crate::tracee::batch::together;
use crate::tracee::inject::Injector;
use crate::tracee::sockets;

/// One of each kind that can be made anew, at numbers from 10 on in the order of the calls of `at`.
const EVERY_KIND: &str = r#"
    #include <errno.h>
    #include <fcntl.h>
    #include <netinet/in.h>
    #include <signal.h>
    #include <sys/epoll.h>
    #include <sys/eventfd.h>
    #include <sys/file.h>
    #include <sys/mman.h>
    #include <sys/signalfd.h>
    #include <sys/socket.h>
    #include <sys/stat.h>
    #include <sys/timerfd.h>
    #include <sys/un.h>
    static int next = 10;
    static int at(int fd, int flags) {
        CHECK(fd);
        CHECK(dup3(fd, next, flags));
        CHECK(close(fd));
        return next++;
    }
    static void files(void) {
        int log = at(open("log", O_WRONLY | O_CREAT | O_APPEND, 0600), O_CLOEXEC);      /* 10 */
        CHECK(write(log, "first line\n", 11));
        at(dup(log), 0);                                                                /* 11: shares it */
        int data = at(open("log", O_RDONLY), 0);                                        /* 12: does not */
        CHECK(lseek(data, 6, SEEK_SET));
        CHECK(flock(data, LOCK_SH));
        struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 5, .l_len = 10 };
        CHECK(fcntl(log, F_SETLK, &lock));
        at(open(".", O_RDONLY | O_DIRECTORY), 0);                                       /* 13 */
        at(open("/dev/null", O_RDWR), 0);                                               /* 14 */
        at(open("log", O_PATH), 0);                                                     /* 15 */
    }
    static void pipes(void) {
        int ends[2];
        CHECK(pipe2(ends, O_NONBLOCK));
        CHECK(fcntl(ends[1], F_SETPIPE_SZ, 16384));
        char block[3000];
        memset(block, 'p', sizeof block);
        CHECK(write(ends[1], block, sizeof block));
        CHECK(write(ends[1], "end", 3));
        at(ends[0], 0);                                                                 /* 16 */
        at(ends[1], O_CLOEXEC);                                                         /* 17 */
        CHECK(mkfifo("fifo", 0600));
        int fifo = at(open("fifo", O_RDWR), 0);                                         /* 18 */
        CHECK(write(fifo, "in a fifo", 9));
    }
    static void counters(void) {
        int event = at(eventfd(3, EFD_SEMAPHORE | EFD_NONBLOCK), 0);                    /* 19 */
        unsigned long more = 1UL << 40;
        CHECK(write(event, &more, 8));
        int timer = at(timerfd_create(CLOCK_MONOTONIC, 0), 0);                          /* 20 */
        struct itimerspec hour = { .it_interval = { 60, 7 }, .it_value = { 3600, 0 } };
        CHECK(timerfd_settime(timer, 0, &hour, 0));
        sigset_t mask;
        sigemptyset(&mask);
        sigaddset(&mask, SIGUSR1);
        CHECK(sigprocmask(SIG_BLOCK, &mask, 0));
        at(signalfd(-1, &mask, 0), 0);                                                  /* 21 */
        int epoll = at(epoll_create1(0), O_CLOEXEC);                                    /* 22 */
        struct epoll_event watch = { EPOLLIN | EPOLLET, { .ptr = (void *)0x1122334455667788 } };
        CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, 16, &watch));
        watch.data.u64 = 19;
        watch.events = EPOLLIN | EPOLLONESHOT;
        CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, event, &watch));
    }
    static void sockets(void) {
        int one = 1;
        int tcp = at(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), 0);               /* 23 */
        struct sockaddr_in local = { AF_INET, 0, { htonl(INADDR_LOOPBACK) } };
        CHECK(setsockopt(tcp, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one));
        CHECK(bind(tcp, (void *)&local, sizeof local));
        CHECK(listen(tcp, 77));
        int named = at(socket(AF_UNIX, SOCK_STREAM, 0), 0);                             /* 24 */
        struct sockaddr_un path = { AF_UNIX };
        CHECK(getcwd(path.sun_path, 80) ? 0 : -1);
        strcat(path.sun_path, "/socket");
        CHECK(bind(named, (void *)&path, sizeof path));
        CHECK(chmod(path.sun_path, 0640));
        CHECK(listen(named, 9));
        int pair[2];
        CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
        at(pair[0], 0);                                                                 /* 25 */
        at(pair[1], 0);                                                                 /* 26 */
        CHECK(write(25, "to 26", 5));
        CHECK(write(26, "to 25", 5));
        CHECK(shutdown(25, SHUT_WR));
        CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
        at(pair[0], 0);                                                                 /* 27 */
        at(pair[1], 0);                                                                 /* 28 */
        CHECK(write(27, "a", 1));
        CHECK(write(27, "message", 7));
    }
    int main(void) {
        files();
        pipes();
        counters();
        sockets();
        int memory = at(memfd_create("words", MFD_ALLOW_SEALING), 0);                   /* 29 */
        CHECK(write(memory, "bytes of a memfd", 16));
        CHECK(ftruncate(memory, 5000));
        CHECK(fcntl(memory, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW));
        say("ready");
        wait_for_end();
    }"#;

/// Numbers that a program has from the test and from whoever runs the tests, beside its own from 10 to 29.
fn inherited(target: &Target) -> Vec<i32> {
    let numbers = crate::resources::proc::numbers(target.pid(), "fd").unwrap();
    numbers.into_iter().filter(|number| !(10..30).contains(number)).collect()
}

fn captured(target: &Target, engine: &[i32]) -> Descriptors {
    let mut injector = target.borrow();
    let pid = target.pid();
    capture(&mut CaptureRequest { pid, engine, durable: true, duplicate: &mut |number| injector.export(number) }).unwrap()
}

fn kind_at(found: &Descriptors, number: i32) -> &Kind {
    let descriptor = found.tables[0].descriptors.iter().find(|descriptor| descriptor.number == number).unwrap();
    &found.descriptions[descriptor.description.0 as usize].kind
}

fn description_at(found: &Descriptors, number: i32) -> u32 {
    found.tables[0].descriptors.iter().find(|descriptor| descriptor.number == number).unwrap().description.0
}

/// The same without what a fresh table has otherwise: inodes, and times that run.
fn comparable(found: &Descriptors) -> Descriptors {
    let mut found = found.clone();
    for description in &mut found.descriptions {
        description.target.clear();
        match &mut description.kind {
            Kind::Pipe { inode, .. } | Kind::MemFd { inode, .. } => *inode = 0,
            Kind::TimerFd { value_ns, .. } => *value_ns = 0,
            // A socket was made anew in the directory, and bytes were put into the FIFO.
            Kind::Directory(file) | Kind::Fifo { file, .. } => file.mtime_ns = 0,
            Kind::Socket(socket) => (socket.inode, socket.peer_inode) = (0, socket.peer_inode.map(|_| 0)),
            Kind::Epoll { watches } => watches.iter_mut().for_each(|watch| watch.inode = 0),
            _ => {}
        }
    }
    found
}

#[test]
fn every_kind_is_captured_with_its_state_and_left_as_it_was() {
    let mut target = Target::start(EVERY_KIND);
    target.line();
    let found = captured(&target, &inherited(&target));
    assert_eq!(found, {
        let again = captured(&target, &inherited(&target));
        // The timer runs.
        let mut again = again;
        let index = description_at(&found, 20) as usize;
        again.descriptions[index].kind = found.descriptions[index].kind.clone();
        again
    });
    assert_eq!(description_at(&found, 10), description_at(&found, 11));
    assert_ne!(description_at(&found, 10), description_at(&found, 12));
    assert_eq!(close_on_exec_numbers(&found), [10, 17, 22]);
    let file = &found.descriptions[description_at(&found, 12) as usize];
    assert_eq!((file.position, file.locks.iter().filter(|lock| lock.class == "FLOCK").count()), (6, 1));
    match kind_at(&found, 16) {
        Kind::Pipe { end: PipeEnd::Read, capacity: 16384, contents, internal: true, .. } => {
            assert!(contents.len() == 3003 && contents.ends_with(b"pend"));
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(kind_at(&found, 18), Kind::Fifo { contents, .. } if contents == b"in a fifo"));
    assert_eq!(kind_at(&found, 19), &Kind::EventFd { count: (1 << 40) + 3, semaphore: true });
    assert_eq!(kind_at(&found, 21), &Kind::SignalFd { mask: 1 << (libc::SIGUSR1 - 1) });
    let Kind::Epoll { watches } = kind_at(&found, 22) else { panic!("no epoll") };
    let mut watched: Vec<EpollWatch> = watches.clone();
    watched.sort_by_key(|watch| watch.descriptor);
    assert_eq!((watched[0].descriptor, watched[0].data), (16, 0x1122_3344_5566_7788));
    assert_eq!(watched[0].description.unwrap().0, description_at(&found, 16));
    let socket = |number| match kind_at(&found, number) {
        Kind::Socket(socket) => socket,
        other => panic!("{other:?}"),
    };
    assert_eq!((socket(23).state, socket(23).backlog), (SocketState::Listening, 77));
    assert_eq!((socket(24).state, socket(24).backlog), (SocketState::Listening, 9));
    assert_eq!(socket(25).receive_queue, [b"to 25".to_vec()]);
    assert_eq!((socket(25).shutdown, socket(26).shutdown), (2, 1));
    assert_eq!(socket(28).receive_queue, [b"a".to_vec(), b"message".to_vec()]);
    match kind_at(&found, 29) {
        Kind::MemFd { name, seals: 6, size: 5000, contents, .. } => {
            assert_eq!((name.as_slice(), &contents[..16]), (&b"words"[..], &b"bytes of a memfd"[..]));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(blockers_of_exec(&found), []);
}

/// Captures a table, ends its process and makes the table anew in another process, which is returned.
fn moved(mut target: Target) -> (Descriptors, Target, tempfile::TempDir) {
    target.line();
    let found = captured(&target, &inherited(&target));
    let directory = target.end();
    let (obstacles, cautions) = blockers_of_restore(&found, b"/", false);
    assert_eq!((obstacles, cautions), (vec![], vec![]));
    let vessel = Target::idle();
    let placed = bring_in(&mut vessel.borrow(), &found, b"/").unwrap();
    // The channel went with the first borrowing.
    let mut injector = vessel.borrow();
    settle(&mut injector, &found, &placed).unwrap();
    drop(placed);
    together(&mut injector, |batch| give_back_owners(batch, &found, Path::Cold)).unwrap();
    (found, vessel, directory)
}

#[test]
fn every_kind_comes_back_in_a_fresh_process() {
    let (found, vessel, _directory) = moved(Target::start(EVERY_KIND));
    let mut again = captured(&vessel, &[]);
    let (expected, now) = (comparable(&found), comparable(&again));
    for (number, descriptor) in expected.tables[0].descriptors.iter().zip(&now.tables[0].descriptors) {
        assert_eq!(number, descriptor);
    }
    for (expected, now) in expected.descriptions.iter().zip(&now.descriptions) {
        let show = |description| format!("{description:?}").chars().take(400).collect::<String>();
        assert!(
            expected == now,
            "{}
{}",
            show(expected),
            show(now)
        );
    }
    let Kind::TimerFd { value_ns, .. } = kind_at(&again, 20) else { panic!("no timer") };
    assert!(*value_ns > 3_500_000_000_000 && *value_ns <= 3_600_000_000_000);
    // The epoll reports what is ready: the eventfd once, the pipe by its edge.
    let mut injector = vessel.borrow();
    let pipe = injector.export(16).unwrap();
    let mut bytes = vec![0; 4000];
    assert_eq!(std::fs::File::from(pipe).read(&mut bytes).unwrap(), 3003);
    drop(injector);
    again = captured(&vessel, &[]);
    assert!(matches!(kind_at(&again, 16), Kind::Pipe { contents, .. } if contents.is_empty()));
}

#[test]
fn a_restored_listener_takes_connections_under_its_old_address() {
    let (found, vessel, directory) = moved(Target::start(EVERY_KIND));
    let Kind::Socket(tcp) = kind_at(&found, 23) else { panic!("no socket") };
    let client = sockets::create(libc::AF_INET, libc::SOCK_STREAM, 0).unwrap();
    sockets::connect(client.as_fd(), &tcp.local).unwrap();
    let path = directory.path().canonicalize().unwrap().join("socket");
    std::os::unix::net::UnixStream::connect(&path).unwrap();
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    // While it is there, nobody else gets its place.
    let (obstacles, _) = blockers_of_restore(&found, b"/", false);
    assert!(obstacles.iter().any(|obstacle| obstacle.to_string().contains("somebody else answers")), "{obstacles:?}");
    drop(vessel);
}

#[test]
fn what_cannot_be_made_anew_is_named_with_its_number_and_peer() {
    let mut target = Target::start(
        r#"
        #include <arpa/inet.h>
        #include <fcntl.h>
        #include <sys/epoll.h>
        #include <sys/inotify.h>
        #include <sys/socket.h>
        #include <sys/syscall.h>
        int main(void) {
            int listener = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);
            struct sockaddr_in local = { AF_INET, 0, { htonl(INADDR_LOOPBACK) } };
            socklen_t length = sizeof local;
            CHECK(bind(listener, (void *)&local, length));
            CHECK(listen(listener, 1));
            CHECK(getsockname(listener, (void *)&local, &length));
            CHECK(connect(client, (void *)&local, length));
            CHECK(dup2(client, 20));
            say("%d", ntohs(local.sin_port));
            CHECK(dup2(inotify_init(), 21));
            int master = posix_openpt(O_RDWR | O_NOCTTY);
            CHECK(grantpt(master));
            CHECK(unlockpt(master));
            CHECK(dup2(open(ptsname(master), O_RDWR | O_NOCTTY), 22));
            CHECK(dup2(open("gone", O_RDWR | O_CREAT, 0600), 23));
            CHECK(unlink("gone"));
            int ends[2];
            CHECK(pipe(ends));
            CHECK(dup2(epoll_create1(0), 24));
            struct epoll_event watch = { EPOLLIN };
            CHECK(epoll_ctl(24, EPOLL_CTL_ADD, ends[0], &watch));
            CHECK(dup2(ends[0], 25));
            CHECK(close(ends[0]));
            CHECK(dup2(open("/proc/self/maps", O_RDONLY), 26));
            CHECK(dup2(syscall(SYS_pidfd_open, getppid(), 0), 27));
            int packets[2];
            CHECK(pipe2(packets, O_DIRECT));
            CHECK(dup2(packets[0], 28));
            CHECK(close(packets[0]));
            CHECK(dup2(packets[1], 29));
            CHECK(close(packets[1]));
            CHECK(write(29, "packet", 6) - 6);
            say("ready");
            wait_for_end();
        }"#,
    );
    let port = target.line();
    target.line();
    let found = captured(&target, &[]);
    let (obstacles, _) = blockers_of_restore(&found, b"/", false);
    let reason_at = |wanted: i32| {
        let reason = obstacles.iter().find_map(|obstacle| match obstacle {
            Obstacle::Descriptor { number, reason, .. } if description_at(&found, *number) == description_at(&found, wanted) => {
                Some(reason.clone())
            }
            _ => None,
        });
        reason.unwrap_or_else(|| panic!("no obstacle for {wanted}: {obstacles:?}"))
    };
    assert!(reason_at(20).contains(&format!("connected to 127.0.0.1:{port}")), "{}", reason_at(20));
    assert!(reason_at(21).contains("inotify"));
    assert!(reason_at(28).contains("pipe of packets"));
    assert!(reason_at(22).contains("terminal"));
    assert!(reason_at(23).contains("deleted"));
    assert!(reason_at(24).contains("has another number now"), "{}", reason_at(24));
    assert!(reason_at(26).contains("bound to the address space"));
    assert!(reason_at(27).contains(&format!("process {}", std::process::id())));
    assert!(reason_at(0).contains("outside the image"), "{}", reason_at(0));
    let hot: Vec<_> = blockers_of_exec(&found).iter().map(ToString::to_string).collect();
    assert!(hot.iter().all(|text| text.contains("/maps")) && !hot.is_empty(), "{hot:?}");
    let others = shared_with_others(target.pid(), &found);
    assert!(others.iter().all(|obstacle| !obstacle.to_string().contains("descriptor 25 (")), "{others:?}");
}

#[test]
fn close_on_exec_flags_are_set_again_and_the_table_is_verified() {
    let mut target = Target::start(EVERY_KIND);
    target.line();
    let found = captured(&target, &[]);
    let mut injector = target.borrow();
    verify(target.pid(), &found, &[]).unwrap();
    for number in close_on_exec_numbers(&found) {
        injector.leader_call("fcntl", libc::SYS_fcntl, &[number as u64, libc::F_SETFD as u64, 0]).unwrap();
    }
    assert!(verify(target.pid(), &found, &[]).unwrap_err().to_string().contains("descriptor 10"));
    together(&mut injector, |batch| give_back_close_on_exec(batch, &found)).unwrap();
    verify(target.pid(), &found, &[]).unwrap();
}

#[test]
fn words_of_watches_are_rewritten_in_place() {
    let mut target = Target::start(EVERY_KIND);
    target.line();
    let before = captured(&target, &inherited(&target));
    let mut after = before.clone();
    let index = description_at(&after, 22) as usize;
    let Kind::Epoll { watches } = &mut after.descriptions[index].kind else { panic!("no epoll") };
    watches.iter_mut().find(|watch| watch.descriptor == 16).unwrap().data = 0x1234;
    assert_eq!(blockers_of_rewrite(&before, &after), []);
    together(&mut target.borrow(), |batch| rewrite_words(batch, &after)).unwrap();
    assert_eq!(kind_at(&captured(&target, &inherited(&target)), 22), &after.descriptions[index].kind);
    let mut closed = after.clone();
    closed.tables[0].descriptors.retain(|descriptor| descriptor.number != 16);
    assert!(blockers_of_rewrite(&before, &closed)[0].to_string().contains("leads elsewhere now"));
}
