//! The stub resolver against name servers of its own on loopback.

use super::*;
use crate::dns::testing::{name, run};
use hickory_proto::op::{Message, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, CNAME};
use hickory_proto::rr::{RData, Record};
use std::cell::Cell;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::spawn_local;

const MINUTE: Duration = Duration::from_secs(60);

/// The answer to a question; `a.example` is an alias of `b.example`, whose address is its own record.
fn answer(question: &Message) -> Message {
    let query = question.queries[0].clone();
    let of = query.name().to_ascii();
    let mut reply = Message::response(question.metadata.id, OpCode::Query);
    let record = |data| Record::from_rdata(query.name().clone(), 60, data);
    match of.as_str() {
        "alias.example." => reply.add_answer(record(RData::CNAME(CNAME(name("host.example."))))),
        "whole.example." => {
            reply.add_answer(record(RData::CNAME(CNAME(name("host.example.")))));
            reply.add_answer(Record::from_rdata(name("host.example."), 60, RData::A(A::new(192, 0, 2, 1))))
        }
        "loop.example." => reply.add_answer(record(RData::CNAME(CNAME(query.name().clone())))),
        "once.example." => {
            reply.add_answer(Record::from_rdata(query.name().clone(), 0, RData::A(A::new(192, 0, 2, 1))))
        }
        _ => reply.add_answer(record(RData::A(A::new(192, 0, 2, 1)))),
    };
    if of == "fail.example." {
        reply.answers.clear();
        reply.metadata.response_code = ResponseCode::ServFail;
    }
    reply.add_query(query);
    reply
}

/// A name server that answers as `says` makes of the right answer; counts its questions.
async fn server(says: impl Fn(&Message, Message) -> Vec<Message> + 'static) -> (SocketAddr, Rc<Cell<usize>>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let (at, asked) = (socket.local_addr().unwrap(), Rc::new(Cell::new(0)));
    let count = asked.clone();
    spawn_local(async move {
        let mut buffer = [0; 4096];
        while let Ok((n, from)) = socket.recv_from(&mut buffer).await {
            count.set(count.get() + 1);
            let question = Message::from_vec(&buffer[..n]).unwrap();
            for reply in says(&question, answer(&question)) {
                socket.send_to(&reply.to_vec().unwrap(), from).await.unwrap();
            }
        }
    });
    (at, asked)
}

fn stub(servers: &[SocketAddr]) -> Stub {
    Stub::new(servers, Duration::from_millis(200), 2)
}

async fn address(stub: &Stub, name: &str) -> Result<Vec<RData>, Problem> {
    let answer = stub.ask(name, RecordType::A, MINUTE).await?;
    Ok(answer.records.iter().map(|record| record.data.clone()).collect())
}

fn found() -> Result<Vec<RData>, Problem> {
    Ok(vec![RData::A(A::new(192, 0, 2, 1))])
}

#[test]
fn aliases_are_followed_in_one_answer_or_by_another_question_but_not_for_ever() {
    run(async {
        let (at, asked) = server(|_, right| vec![right]).await;
        let stub = stub(&[at]);
        assert_eq!(address(&stub, "whole.example").await, found());
        assert_eq!(asked.get(), 1);
        assert_eq!(address(&stub, "alias.example").await, found());
        assert_eq!(asked.get(), 3);
        assert_eq!(address(&stub, "loop.example").await, Err(Problem::NotFound));
    });
}

#[test]
fn many_who_ask_the_same_at_once_ask_one_question_and_share_a_failure() {
    run(async {
        let (at, asked) = server(|_, right| vec![right]).await;
        let stub = stub(&[at]);
        for name in ["x.example", "once.example"] {
            asked.set(0);
            let (a, b) = tokio::join!(address(&stub, name), address(&stub, name));
            assert_eq!((a, b, asked.get()), (found(), found(), 1), "{name}");
        }
        // What may not be remembered is asked again.
        assert_eq!((address(&stub, "once.example").await, asked.get()), (found(), 2));
        asked.set(0);
        let both = tokio::join!(address(&stub, "fail.example"), address(&stub, "fail.example"));
        assert_eq!((both, asked.get()), ((Err(Problem::TryAgain), Err(Problem::TryAgain)), 1));
    });
}

#[test]
fn who_waits_gets_an_answer_though_the_first_who_asked_went_away() {
    run(async {
        let (at, asked) = server(|_, right| vec![right]).await;
        let stub = Rc::new(stub(&[at]));
        let first = spawn_local({
            let stub = stub.clone();
            async move { address(&stub, "x.example").await }
        });
        tokio::task::yield_now().await;
        first.abort();
        assert_eq!(address(&stub, "x.example").await, found());
        assert!(asked.get() <= 2);
    });
}

#[test]
fn many_questions_share_sockets_and_each_gets_its_own_answer() {
    run(async {
        let (at, _) = server(|_, right| vec![right]).await;
        let stub = Rc::new(Stub::new(&[at], Duration::from_secs(10), 2));
        let asking: Vec<_> = (0..200)
            .map(|n| {
                let stub = stub.clone();
                spawn_local(async move { address(&stub, &format!("{n}.example")).await })
            })
            .collect();
        for one in asking {
            assert_eq!(one.await.unwrap(), found());
        }
        assert_eq!(stub.servers[0].sockets(), 2);
    });
}

#[test]
fn packets_that_answer_something_else_are_no_answers() {
    run(async {
        let forged = |_: &Message, right: Message| {
            let mut other_id = right.clone();
            other_id.metadata.id ^= 1;
            other_id.answers.clear();
            let mut other_name = right.clone();
            other_name.queries[0].set_name(name("evil.example."));
            other_name.answers.clear();
            let mut no_question = right.clone();
            no_question.queries.clear();
            no_question.answers.clear();
            vec![other_id, other_name, no_question, right]
        };
        let (at, _) = server(forged).await;
        assert_eq!(address(&stub(&[at]), "x.example").await, found());
    });
}

#[test]
fn a_silent_server_is_asked_twice_and_then_only_after_others() {
    run(async {
        let (silent, asked_silent) = server(|_, _| Vec::new()).await;
        assert_eq!(address(&stub(&[silent]), "x.example").await, Err(Problem::TryAgain));
        assert_eq!(asked_silent.get(), 2);
        let (good, asked_good) = server(|_, right| vec![right]).await;
        let stub = stub(&[silent, good]);
        asked_silent.set(0);
        assert_eq!(address(&stub, "x.example").await, found());
        assert_eq!(address(&stub, "y.example").await, found());
        assert_eq!((asked_silent.get(), asked_good.get()), (1, 2));
    });
}

#[test]
fn a_server_that_fails_or_is_not_there_is_passed_over() {
    run(async {
        let gone = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let (good, _) = server(|_, right| vec![right]).await;
        let (failing, _) = server(|_, mut right| {
            right.metadata.response_code = ResponseCode::Refused;
            vec![right]
        })
        .await;
        assert_eq!(address(&stub(&[gone, failing, good]), "x.example").await, found());
        assert_eq!(address(&stub(&[failing]), "x.example").await, Err(Problem::TryAgain));
        assert_eq!(address(&stub(&[gone]), "x.example").await, Err(Problem::TryAgain));
    });
}

#[test]
fn a_server_without_edns_is_asked_without_it() {
    run(async {
        let old = |question: &Message, mut right: Message| {
            if question.edns.is_some() {
                right.queries.clear();
                right.answers.clear();
                right.metadata.response_code = ResponseCode::FormErr;
            }
            vec![right]
        };
        let (at, asked) = server(old).await;
        let stub = stub(&[at]);
        assert_eq!(address(&stub, "x.example").await, found());
        assert_eq!(address(&stub, "y.example").await, found());
        assert_eq!(asked.get(), 3, "it is not tried again");
    });
}

#[test]
fn what_does_not_fit_comes_by_tcp() {
    run(async {
        let (at, _) = server(|_, mut right| {
            right.answers.clear();
            right.metadata.truncation = true;
            vec![right]
        })
        .await;
        let listener = TcpListener::bind(at).await.unwrap();
        spawn_local(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut packet = vec![0; stream.read_u16().await.unwrap().into()];
                stream.read_exact(&mut packet).await.unwrap();
                let reply = answer(&Message::from_vec(&packet).unwrap()).to_vec().unwrap();
                stream.write_u16(reply.len().try_into().unwrap()).await.unwrap();
                stream.write_all(&reply).await.unwrap();
            }
        });
        assert_eq!(address(&stub(&[at]), "x.example").await, found());
    });
}
