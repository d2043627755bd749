mod access;
mod house;
mod ingestion;
mod live;
mod resources;
