//! `BankService`.

use prost::Message as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::context::Context;
use super::proto::bank_service_server::BankService;
use super::{convert, limits, proto, restore, snapshot};
use crate::Error;
use crate::engine::{BankName, BankSettings, Engine};

/// Makes, copies and removes banks.
pub(super) struct Banks(pub Context);

#[tonic::async_trait]
impl BankService for Banks {
    type TakeSnapshotStream = ReceiverStream<Result<proto::TakeSnapshotResponse, Status>>;

    async fn create_bank(
        &self,
        request: Request<proto::CreateBankRequest>,
    ) -> Result<Response<proto::CreateBankResponse>, Status> {
        let proto::CreateBankRequest { name, description, quantisation } = request.into_inner();
        let name = BankName::new(name)?;
        let description = limits::bytes("bank description", description, limits::DESCRIPTION_BYTES)?;
        let settings = BankSettings { description, quantisation: convert::quantisation(quantisation)? };
        let create = move |engine: &Engine| engine.create_bank(&name, settings)?.status();
        let (status, _) = self.0.in_engine(create).await?;
        Ok(Response::new(proto::CreateBankResponse { bank: Some(convert::bank(status)) }))
    }

    async fn get_bank(
        &self,
        request: Request<proto::GetBankRequest>,
    ) -> Result<Response<proto::GetBankResponse>, Status> {
        let (status, _) = self.0.in_bank(request.into_inner().name, |bank| bank.status()).await?;
        Ok(Response::new(proto::GetBankResponse { bank: Some(convert::bank(status)) }))
    }

    async fn list_banks(
        &self,
        _: Request<proto::ListBanksRequest>,
    ) -> Result<Response<proto::ListBanksResponse>, Status> {
        let (mut banks, _) = self.0.in_engine(|engine| engine.banks()).await?;
        banks.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Response::new(proto::ListBanksResponse { banks: banks.into_iter().map(convert::bank).collect() }))
    }

    async fn delete_bank(
        &self,
        request: Request<proto::DeleteBankRequest>,
    ) -> Result<Response<proto::DeleteBankResponse>, Status> {
        let name = BankName::new(request.into_inner().name)?;
        self.0.in_engine(move |engine| engine.delete_bank(&name)).await?;
        Ok(Response::new(proto::DeleteBankResponse {}))
    }

    async fn map_bank(
        &self,
        request: Request<proto::MapBankRequest>,
    ) -> Result<Response<proto::MapBankResponse>, Status> {
        let mut request = request.into_inner();
        let name = std::mem::take(&mut request.name);
        let request = convert::map_request(request)?;
        let (map, waited) = self.0.in_bank(name, move |bank| bank.map(&request)).await?;
        let map = convert::bank_map(map, waited);
        let most = self.0.options.max_message_bytes;
        if map.encoded_len() > most {
            let limit = format!("{most} bytes for one message; ask for fewer points");
            return Err(Error::Exhausted { what: "the reply".to_owned(), limit }.into());
        }
        Ok(Response::new(map))
    }

    async fn take_snapshot(
        &self,
        request: Request<proto::TakeSnapshotRequest>,
    ) -> Result<Response<Self::TakeSnapshotStream>, Status> {
        snapshot::start(self.0.clone(), request).map(Response::new)
    }

    async fn restore_bank(
        &self,
        request: Request<Streaming<proto::RestoreBankRequest>>,
    ) -> Result<Response<proto::RestoreBankResponse>, Status> {
        restore::receive(&self.0, request.into_inner()).await.map(Response::new)
    }
}
