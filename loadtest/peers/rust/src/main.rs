//! axum in front of ONNX Runtime's own library, through ort: the Open
//! Inference Protocol in JSON and with binary tensors, for models with one
//! input x and one output y of float32.
//!
//! A runtime thread for each processor parses, runs and answers; a run takes
//! some microseconds, so it is made where its request is.

use std::{
    collections::HashMap,
    env,
    sync::{
        Arc, Mutex, TryLockError,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, State},
    http::{HeaderMap, HeaderValue, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use ort::{environment::Environment, session::Session, value::TensorRef};
use serde::{Deserialize, Serialize};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Fault = Box<dyn std::error::Error + Send + Sync>;

const LENGTH: &str = "inference-header-content-length";

/// One model: as many sessions as there are workers.
struct Model {
    sessions: Vec<Mutex<Session>>,
    next: AtomicUsize,
}

#[derive(Deserialize)]
struct Request {
    inputs: Vec<Input>,
}

#[derive(Deserialize)]
struct Input {
    shape: Vec<i64>,
    #[serde(default)]
    data: Vec<f32>,
}

#[derive(Serialize)]
struct Answer<'a> {
    model_name: &'a str,
    outputs: [Output<'a>; 1],
}

#[derive(Serialize)]
struct Output<'a> {
    name: &'static str,
    datatype: &'static str,
    shape: &'a [i64],
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a [f32]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<Parameters>,
}

#[derive(Serialize)]
struct Parameters {
    binary_data_size: usize,
}

impl Model {
    fn load(environment: &Environment, path: &str, intra: usize, workers: usize) -> ort::Result<Self> {
        let open = || {
            Session::builder(environment)?
                .with_intra_threads(intra)?
                .with_inter_threads(1)?
                .with_intra_op_spinning(false)?
                .commit_from_file(path)
        };
        let sessions = (0..workers).map(|_| open().map(Mutex::new)).collect::<ort::Result<_>>()?;
        Ok(Self { sessions, next: AtomicUsize::new(0) })
    }

    /// Runs on an idle session, or waits for one, and gives shape and numbers to then.
    fn run<T>(&self, shape: &[i64], x: &[f32], then: impl FnOnce(&[i64], &[f32]) -> Result<T, Fault>) -> Result<T, Fault> {
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let idle = (0..self.sessions.len()).find_map(|i| {
            match self.sessions[(first + i) % self.sessions.len()].try_lock() {
                Ok(session) => Some(session),
                Err(TryLockError::WouldBlock) => None,
                Err(TryLockError::Poisoned(p)) => Some(p.into_inner()),
            }
        });
        let mut session = match idle {
            Some(session) => session,
            None => self.sessions[first % self.sessions.len()].lock().map_err(|e| e.to_string())?,
        };
        let outputs = session.run(ort::inputs!["x" => TensorRef::from_array_view((shape, x))?])?;
        let (shape, y) = outputs["y"].try_extract_tensor::<f32>()?;
        then(shape, y)
    }
}

fn json(model: &Model, name: &str, body: &[u8]) -> Result<Response, Fault> {
    let request: Request = sonic_rs::from_slice(body)?;
    let input = request.inputs.first().ok_or("want an input, got none")?;
    let text = model.run(&input.shape, &input.data, |shape, y| {
        let output = Output { name: "y", datatype: "FP32", shape, data: Some(y), parameters: None };
        Ok(sonic_rs::to_vec(&Answer { model_name: name, outputs: [output] })?)
    })?;
    Ok(([(CONTENT_TYPE, "application/json")], text).into_response())
}

fn binary(model: &Model, name: &str, body: &[u8], at: usize) -> Result<Response, Fault> {
    let (head, raw) = body.split_at_checked(at).ok_or("want a body longer than its header")?;
    let request: Request = sonic_rs::from_slice(head)?;
    let input = request.inputs.first().ok_or("want an input, got none")?;
    // Bytes of a body lie anywhere, and floats at multiples of four.
    let x: Vec<f32> = raw.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
    let (length, text) = model.run(&input.shape, &x, |shape, y| {
        let parameters = Some(Parameters { binary_data_size: 4 * y.len() });
        let output = Output { name: "y", datatype: "FP32", shape, data: None, parameters };
        let mut text = sonic_rs::to_vec(&Answer { model_name: name, outputs: [output] })?;
        let length = text.len();
        text.extend(y.iter().flat_map(|v| v.to_le_bytes()));
        Ok((length, text))
    })?;
    let mut response = ([(CONTENT_TYPE, "application/octet-stream")], text).into_response();
    response.headers_mut().insert(LENGTH, HeaderValue::from(length));
    Ok(response)
}

async fn infer(State(models): State<Arc<HashMap<&'static str, Model>>>, Path(name): Path<String>, headers: HeaderMap, body: Bytes) -> Response {
    let Some(model) = models.get(name.as_str()) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let answer = match headers.get(LENGTH) {
        None => json(model, &name, &body),
        Some(at) => match at.to_str().ok().and_then(|s| s.parse().ok()) {
            Some(at) => binary(model, &name, &body, at),
            None => Err("want a number of bytes".into()),
        },
    };
    answer.unwrap_or_else(|e| (StatusCode::BAD_REQUEST, e.to_string()).into_response())
}

fn setting(name: &str) -> Result<usize, Fault> {
    Ok(env::var(name)?.parse()?)
}

#[tokio::main]
async fn main() -> Result<(), Fault> {
    let environment = ort::init_from(env::var("PEER_LIBRARY")?)?.build()?;
    let (intra, workers) = (setting("PEER_INTRA")?, setting("PEER_WORKERS")?);
    let mut models = HashMap::new();
    for name in ["small", "image"] {
        let path = format!("{}/{name}.onnx", env::var("PEER_MODELS")?);
        models.insert(name, Model::load(&environment, &path, intra, workers)?);
    }
    let app = Router::new()
        .route("/v2/health/ready", get(|| async {}))
        .route("/v2/models/{name}/infer", post(infer))
        .layer(DefaultBodyLimit::max(64 << 20))
        .with_state(Arc::new(models));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", setting("PEER_HTTP")? as u16)).await?;
    let listener = axum::serve::ListenerExt::tap_io(listener, |stream| {
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, app).await?;
    Ok(())
}
