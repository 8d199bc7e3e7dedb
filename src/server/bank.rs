//! `BankService`.

use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::access::admitted;
use super::context::Context;
use super::proto::bank_service_server::BankService;
use super::{convert, limits, proto, restore, snapshot};
use crate::engine::BankSettings;

/// Makes, copies and removes banks.
pub(super) struct Banks(pub Context);

#[tonic::async_trait]
impl BankService for Banks {
    type TakeSnapshotStream = ReceiverStream<Result<proto::TakeSnapshotResponse, Status>>;

    async fn create_bank(
        &self,
        request: Request<proto::CreateBankRequest>,
    ) -> Result<Response<proto::CreateBankResponse>, Status> {
        let (caller, message) = admitted(request)?;
        let proto::CreateBankRequest { name, description, quantisation } = message;
        let description = limits::bytes("bank description", description, limits::DESCRIPTION_BYTES)?;
        let settings = BankSettings { description, quantisation: convert::quantisation(quantisation)? };
        let create = self.0.at_bank(&caller, name, |engine, name| engine.create_bank(name, settings)?.status());
        let (status, _) = create.await?;
        Ok(Response::new(proto::CreateBankResponse { bank: Some(convert::bank(status)) }))
    }

    async fn get_bank(
        &self,
        request: Request<proto::GetBankRequest>,
    ) -> Result<Response<proto::GetBankResponse>, Status> {
        let (caller, message) = admitted(request)?;
        let (status, _) = self.0.in_bank(&caller, message.name, |bank| bank.status()).await?;
        Ok(Response::new(proto::GetBankResponse { bank: Some(convert::bank(status)) }))
    }

    async fn list_banks(
        &self,
        request: Request<proto::ListBanksRequest>,
    ) -> Result<Response<proto::ListBanksResponse>, Status> {
        let (caller, _) = admitted(request)?;
        let banks = self.0.banks(&caller).await?;
        Ok(Response::new(proto::ListBanksResponse { banks: banks.into_iter().map(convert::bank).collect() }))
    }

    async fn delete_bank(
        &self,
        request: Request<proto::DeleteBankRequest>,
    ) -> Result<Response<proto::DeleteBankResponse>, Status> {
        let (caller, message) = admitted(request)?;
        self.0.at_bank(&caller, message.name, |engine, name| engine.delete_bank(name)).await?;
        Ok(Response::new(proto::DeleteBankResponse {}))
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
        restore::receive(&self.0, request).await.map(Response::new)
    }
}
