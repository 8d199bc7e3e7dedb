//! `BankService` and `EmbeddingService`.

use simbert::server::proto;
use tonic::Code;

use crate::harness::{Served, assert_status, engine, options, questions};

#[tokio::test]
async fn a_bank_is_made_described_listed_and_removed() {
    let mut served = Served::start().await;
    let made = served.create("faq").await.unwrap();
    assert_eq!((made.name.as_str(), made.description.as_str(), made.questions), ("faq", "a bank", 0));
    assert_eq!(made.model_fingerprint, "fake");
    served.create("b.2").await.unwrap();
    served.upsert(questions()).await.unwrap();

    let get = proto::GetBankRequest { name: "faq".to_owned() };
    let bank = served.client.banks.get_bank(get.clone()).await.unwrap().into_inner().bank.unwrap();
    assert_eq!((bank.questions, bank.faqs), (5, 4));
    assert!(bank.bytes_on_disk > 0);

    let listed = served.client.banks.list_banks(proto::ListBanksRequest::default()).await.unwrap().into_inner().banks;
    assert_eq!(listed.iter().map(|bank| bank.name.as_str()).collect::<Vec<_>>(), ["b.2", "faq"]);

    served
        .client
        .banks
        .delete_bank(proto::DeleteBankRequest { name: "faq".to_owned(), ..Default::default() })
        .await
        .unwrap();
    assert_status(served.client.banks.get_bank(get).await, Code::NotFound, "bank `faq` was not found");
}

#[tokio::test]
async fn bank_errors_have_their_codes() {
    let mut served = Served::with_bank().await;
    assert_status(served.create("faq").await, Code::AlreadyExists, "bank `faq` already exists");
    assert_status(served.create("../faq").await, Code::InvalidArgument, "bank name: expected 1 to 64");
    assert_status(served.create("").await, Code::InvalidArgument, "bank name");
    let delete = proto::DeleteBankRequest { name: "nothing".to_owned(), ..Default::default() };
    assert_status(served.client.banks.delete_bank(delete).await, Code::NotFound, "bank `nothing`");
    let long =
        proto::CreateBankRequest { name: "long".to_owned(), description: "x".repeat(5000), ..Default::default() };
    assert_status(served.client.banks.create_bank(long).await, Code::InvalidArgument, "at most 4096 bytes");
}

#[tokio::test]
async fn a_bank_can_be_made_again_where_it_is_the_same() {
    use proto::Quantisation::{F16, Int8, Unspecified};
    let mut served = Served::start().await;
    let mut create = async |description: &str, quantisation: proto::Quantisation, allow_existing| {
        let (name, description) = ("faq".to_owned(), description.to_owned());
        let quantisation = quantisation.into();
        let request = proto::CreateBankRequest { name, description, quantisation, allow_existing };
        Ok(served.client.banks.create_bank(request).await?.into_inner().bank.unwrap())
    };
    let first = create("a bank", F16, true).await.unwrap();
    assert_eq!(create("a bank", F16, true).await.unwrap(), first);
    assert_eq!(create("a bank", Unspecified, true).await.unwrap(), first);
    assert_status(create("a bank", F16, false).await, Code::AlreadyExists, "bank `faq` already exists");
    assert_status(create("another", F16, true).await, Code::AlreadyExists, "it has another description");
    assert_status(create("a bank", Int8, true).await, Code::AlreadyExists, "it has another quantisation");

    let mut served = Served::start_in(served.stop().await, options()).await;
    served.upsert(questions()).await.unwrap();
    let description = "a bank".to_owned();
    let again =
        proto::CreateBankRequest { name: "faq".to_owned(), description, allow_existing: true, ..Default::default() };
    let bank = served.client.banks.create_bank(again).await.unwrap().into_inner().bank.unwrap();
    assert_eq!(bank.questions, 5, "what it holds stays");
}

#[tokio::test]
async fn a_bank_can_be_removed_again() {
    let mut served = Served::with_bank().await;
    let mut delete = async |allow_missing| {
        let request = proto::DeleteBankRequest { name: "faq".to_owned(), allow_missing };
        served.client.banks.delete_bank(request).await
    };
    delete(true).await.unwrap();
    delete(true).await.unwrap();
    assert_status(delete(false).await, Code::NotFound, "bank `faq` was not found");
}

#[tokio::test]
async fn banks_come_in_pages_to_those_who_ask_for_them() {
    let mut served = Served::start().await;
    let names: Vec<String> = (0..5).map(|i| format!("b{i}")).collect();
    for name in &names {
        served.create(name).await.unwrap();
    }
    let mut list = async |page_size, page_token: &str| {
        let request = proto::ListBanksRequest { page_size, page_token: page_token.to_owned() };
        served.client.banks.list_banks(request).await.map(tonic::Response::into_inner)
    };
    let all = list(None, "").await.unwrap();
    assert_eq!((all.banks.len(), all.next_page_token.as_str()), (5, ""));
    for size in [1, 2, 4, 5, 6] {
        let (mut read, mut token) = (Vec::new(), String::new());
        loop {
            let page = list(Some(size), &token).await.unwrap();
            assert!(page.banks.len() <= size as usize && !page.banks.is_empty());
            read.extend(page.banks.into_iter().map(|bank| bank.name));
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        assert_eq!(read, names, "pages of {size}");
    }
    assert_status(list(Some(0), "").await, Code::InvalidArgument, "page_size: expected 1 to 1000");
    assert_status(list(Some(1001), "").await, Code::InvalidArgument, "`--max-page`");
    assert_status(list(None, "b2").await, Code::InvalidArgument, "page_token: expected the `next_page_token`");
}

#[tokio::test]
async fn a_bank_of_another_model_is_refused_with_both_fingerprints() {
    let served = Served::with_questions().await;
    let folder = served.stop().await;
    let server = simbert::server::Server::bind(engine(folder.path(), "other"), options()).await.unwrap();
    let mut client = {
        let address = server.address();
        tokio::spawn(server.run(std::future::pending()));
        crate::harness::connect(address).await
    };
    let get = client.banks.get_bank(proto::GetBankRequest { name: "faq".to_owned() }).await;
    assert_status(get, Code::FailedPrecondition, "encoded by model fake, but the loaded model is other");
}

#[tokio::test]
async fn embedding_gives_unit_vectors_in_order_and_its_times() {
    let mut served = Served::start().await;
    let model = served.client.embedding.get_model(proto::GetModelRequest {}).await.unwrap().into_inner();
    let texts = vec!["银行卡".to_owned(), "手机".to_owned(), "银行卡".to_owned()];
    let reply = served.client.embedding.embed(proto::EmbedRequest { texts }).await.unwrap().into_inner();
    assert_eq!(reply.vectors.len(), 3);
    assert_eq!(reply.vectors[0], reply.vectors[2]);
    assert_ne!(reply.vectors[0], reply.vectors[1]);
    for vector in &reply.vectors {
        assert_eq!(vector.values.len(), model.dimension as usize);
        let norm: f32 = vector.values.iter().map(|x| x * x).sum();
        assert!((norm - 1.0).abs() < 1e-5, "{norm}");
    }
    assert!(reply.timings.unwrap().queue.is_some());
}

#[tokio::test]
async fn texts_that_cannot_be_embedded_are_refused() {
    let mut served = Served::start().await;
    let mut embed = async |texts: Vec<String>| served.client.embedding.embed(proto::EmbedRequest { texts }).await;
    assert_status(embed(vec![]).await, Code::InvalidArgument, "number of texts: expected 1 to 1024, received 0");
    assert_status(embed(vec![String::new()]).await, Code::InvalidArgument, "text: expected some text");
    assert_status(embed(vec![" \u{3000}\t".to_owned()]).await, Code::InvalidArgument, "a blank one");
    assert_status(embed(vec!["长".repeat(20_000)]).await, Code::InvalidArgument, "received 60000 bytes");
    assert_status(embed(vec!["a".to_owned(); 1025]).await, Code::InvalidArgument, "received 1025");
    embed(vec!["长".repeat(2_000), "\u{0}".to_owned(), "🧑‍🚀".to_owned()]).await.unwrap();
}
