//! Models that a test can make: real ONNX networks that tell low audio from high audio.
//!
//! Every fourth frame of the mel bands is weighed: more power in the lower half says ` GO`, more in the upper ` TEN`,
//! and little in both nothing. CTC makes words of that: audio that is low, high, low says `GO TEN GO`.

use std::fs;
use std::path::{Path, PathBuf};

/// Mel bands.
const BANDS: usize = 80;
const TOKENS: &str = "<blk> 0\n\u{2581}GO 1\n\u{2581}TEN 2\n";

/// A model that hears an utterance when it is whole.
pub fn whole(folder: &Path) -> PathBuf {
    let nodes =
        [words(), node("Add", &["x_lens", "three"], &["padded"]), node("Div", &["padded", "four"], &["log_probs_len"])];
    let inputs = [value("x", FLOAT, &[None, None, Some(80)]), value("x_lens", INT64, &[None])];
    let outputs = [value("log_probs", FLOAT, &[None, None, Some(3)]), value("log_probs_len", INT64, &[None])];
    let model = model(&nodes.concat(), &inputs.concat(), &outputs.concat(), &[]);
    write(&folder.join("zipformer-ctc-en-thought-out"), &model)
}

/// One that hears as the audio comes: the same, with states that nothing is done with.
pub fn streaming(folder: &Path) -> PathBuf {
    let states: [(&str, u64, &[Option<u64>]); 8] = [
        ("key", FLOAT, &[Some(2), None, Some(4)]),
        ("attention", FLOAT, &[Some(1), None, Some(2), Some(6)]),
        ("value_1", FLOAT, &[Some(2), None, Some(4)]),
        ("value_2", FLOAT, &[Some(2), None, Some(4)]),
        ("convolution_1", FLOAT, &[None, Some(8), Some(1)]),
        ("convolution_2", FLOAT, &[None, Some(8), Some(1)]),
        ("embedding", FLOAT, &[None, Some(128), Some(3), Some(19)]),
        ("processed", INT64, &[None]),
    ];
    let mut nodes = words();
    // A chunk of eight frames.
    let mut inputs = value("x", FLOAT, &[None, Some(8), Some(80)]);
    let mut outputs = value("log_probs", FLOAT, &[None, Some(2), Some(3)]);
    for (name, kind, shape) in states {
        let after = format!("new_{name}");
        nodes.extend(node("Identity", &[name], &[&after]));
        inputs.extend(value(name, kind, shape));
        outputs.extend(value(&after, kind, shape));
    }
    let facts = [
        ("encoder_dims", "8"),
        ("query_head_dims", "4"),
        ("value_head_dims", "4"),
        ("num_heads", "1"),
        ("num_encoder_layers", "1"),
        ("cnn_module_kernels", "3"),
        ("left_context_len", "2"),
        ("T", "8"),
        ("decode_chunk_len", "8"),
    ];
    let model = model(&nodes, &inputs, &outputs, &facts);
    write(&folder.join("streaming-zipformer-ctc-en-thought-out"), &model)
}

/// Two models that tell speakers apart: segmentation by how loud they are, and voices by how low they are.
pub fn speakers(folder: &Path) -> (PathBuf, PathBuf) {
    let pool = [integers("kernel_shape", &[991]), integers("strides", &[270])].concat();
    let nodes = [
        node_with("MaxPool", &["x"], &["loudness"], &pool),
        node_with("Transpose", &["loudness"], &["frames"], &integers("perm", &[0, 2, 1])),
        node("MatMul", &["frames", "slopes"], &["sloped"]),
        node("Add", &["sloped", "heights"], &["y"]),
    ];
    // Nobody, one of three, or two of them at once: whose line is highest.
    let weights = [
        floats("slopes", &[1, 7], &[0.0, 1.0, 2.0, 0.0, 0.0, 0.0, 0.0]),
        floats("heights", &[7], &[0.02, 0.0, -0.11, -9.0, -9.0, -9.0, -9.0]),
    ];
    let inputs = value("x", FLOAT, &[None, Some(1), Some(160_000)]);
    let facts = [
        ("sample_rate", "16000"),
        ("window_size", "160000"),
        ("receptive_field_size", "991"),
        ("receptive_field_shift", "270"),
        ("num_speakers", "3"),
        ("powerset_max_classes", "2"),
        ("num_classes", "7"),
    ];
    let graph = [nodes.concat(), weights.concat(), inputs, value("y", FLOAT, &[None, Some(589), Some(7)])].concat();
    let segmentation = folder.join("segmentation.onnx");
    fs::write(&segmentation, wrapped(&graph, &facts)).expect("written");
    let nodes = [
        node_with("ReduceMean", &["x"], &["mean"], &[integers("axes", &[1]), integer("keepdims", 0)].concat()),
        node("MatMul", &["mean", "halves"], &["embedding_out"]),
    ];
    let halves: Vec<f32> =
        (0..BANDS).flat_map(|band| if band < BANDS / 2 { [1.0, -1.0] } else { [-1.0, 1.0] }).collect();
    let inputs = value("x", FLOAT, &[None, None, Some(80)]);
    let outputs = value("embedding_out", FLOAT, &[None, Some(2)]);
    let facts = [
        ("framework", "wespeaker"),
        ("language", "English"),
        ("url", ""),
        ("comment", "thought out"),
        ("sample_rate", "16000"),
        ("output_dim", "2"),
        ("normalize_samples", "1"),
        ("feature_normalize_type", ""),
    ];
    let graph = [nodes.concat(), floats("halves", &[80, 2], &halves), inputs, outputs].concat();
    let embedding = folder.join("embedding.onnx");
    fs::write(&embedding, wrapped(&graph, &facts)).expect("written");
    (segmentation, embedding)
}

/// A folder that looks like a model and is none.
pub fn broken(folder: &Path) -> PathBuf {
    write(&folder.join("zipformer-ctc-en-broken"), b"no network")
}

fn write(folder: &Path, model: &[u8]) -> PathBuf {
    fs::create_dir_all(folder).expect("made");
    fs::write(folder.join("model.onnx"), model).expect("written");
    fs::write(folder.join("tokens.txt"), TOKENS).expect("written");
    folder.to_owned()
}

/// From bands to the three tokens.
fn words() -> Vec<u8> {
    [
        node("Slice", &["x", "zero", "end", "one", "four"], &["frames"]),
        node("MatMul", &["frames", "weights"], &["weighed"]),
        node("Add", &["weighed", "bias"], &["log_probs"]),
    ]
    .concat()
}

/// All that a network is made of.
fn model(nodes: &[u8], inputs: &[u8], outputs: &[u8], facts: &[(&str, &str)]) -> Vec<u8> {
    let half = BANDS / 2;
    // The library's mel bands are logarithms: about -16 in silence, above -5 where there is sound.
    let weights = (0..BANDS).flat_map(|band| {
        let low = if band < half { 1.0 } else { -1.0 };
        [0.0, low / half as f32, -low / half as f32]
    });
    let mut graph = nodes.to_vec();
    graph.extend(tensor("weights", FLOAT, &[80, 3], &weights.flat_map(f32::to_le_bytes).collect::<Vec<_>>()));
    // A difference of less than this between the halves is nobody speaking.
    graph.extend(tensor("bias", FLOAT, &[3], &[2.0f32, 0.0, 0.0].map(f32::to_le_bytes).concat()));
    for (name, number) in [("zero", 0i64), ("one", 1), ("three", 3), ("four", 4), ("end", i64::MAX)] {
        graph.extend(tensor(name, INT64, &[1], &number.to_le_bytes()));
    }
    graph.extend([inputs, outputs].concat());
    wrapped(&graph, facts)
}

fn wrapped(graph: &[u8], facts: &[(&str, &str)]) -> Vec<u8> {
    let mut model = number(1, 8);
    model.extend(bytes(7, &[graph, &text(2, "thought-out")].concat()));
    model.extend(bytes(8, &[text(1, ""), number(2, 13)].concat()));
    for (key, fact) in facts {
        model.extend(bytes(14, &[text(1, key), text(2, fact)].concat()));
    }
    model
}

const FLOAT: u64 = 1;
const INT64: u64 = 7;

fn node(operator: &str, inputs: &[&str], outputs: &[&str]) -> Vec<u8> {
    node_with(operator, inputs, outputs, &[])
}

fn integers(name: &str, values: &[u64]) -> Vec<u8> {
    let values: Vec<u8> = values.iter().flat_map(|value| number(8, *value)).collect();
    bytes(5, &[text(1, name), values, number(20, 7)].concat())
}

fn integer(name: &str, value: u64) -> Vec<u8> {
    bytes(5, &[text(1, name), number(3, value), number(20, 2)].concat())
}

fn floats(name: &str, shape: &[u64], values: &[f32]) -> Vec<u8> {
    tensor(name, FLOAT, shape, &values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>())
}

fn node_with(operator: &str, inputs: &[&str], outputs: &[&str], attributes: &[u8]) -> Vec<u8> {
    let mut node = Vec::new();
    inputs.iter().for_each(|name| node.extend(text(1, name)));
    outputs.iter().for_each(|name| node.extend(text(2, name)));
    node.extend(text(4, operator));
    node.extend(attributes);
    bytes(1, &node)
}

fn tensor(name: &str, kind: u64, shape: &[u64], data: &[u8]) -> Vec<u8> {
    let mut tensor = Vec::new();
    shape.iter().for_each(|size| tensor.extend(number(1, *size)));
    tensor.extend([number(2, kind), text(8, name), bytes(9, data)].concat());
    bytes(5, &tensor)
}

/// An input, or an output where it is called after one: a name, and a shape in which `None` is any size.
fn value(name: &str, kind: u64, shape: &[Option<u64>]) -> Vec<u8> {
    let dimension = |size: &Option<u64>| match size {
        Some(size) => bytes(1, &number(1, *size)),
        None => bytes(1, &text(2, "N")),
    };
    let shape: Vec<u8> = shape.iter().flat_map(dimension).collect();
    let kind = bytes(1, &[number(1, kind), bytes(2, &shape)].concat());
    let is_output = name.starts_with("new_") || name.starts_with("log_probs") || name == "y" || name == "embedding_out";
    bytes(if is_output { 12 } else { 11 }, &[text(1, name), bytes(2, &kind)].concat())
}

/// Protocol buffers: a number, bytes, and text in a field.
fn number(field: u64, value: u64) -> Vec<u8> {
    [varint(field << 3), varint(value)].concat()
}

fn bytes(field: u64, value: &[u8]) -> Vec<u8> {
    [&varint(field << 3 | 2)[..], &varint(value.len() as u64), value].concat()
}

fn text(field: u64, value: &str) -> Vec<u8> {
    bytes(field, value.as_bytes())
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// Half a second of sound each, low or high.
pub fn audio(parts: &[bool]) -> Vec<i16> {
    let part = |low: &bool| {
        let from = if *low { 200 } else { 4600 };
        let tones: Vec<f64> = (0..17).map(|tone| f64::from(from + tone * 200)).collect();
        (0..8000).map(move |at| {
            let turn = f64::from(at) / 16_000.0 * std::f64::consts::TAU;
            let sum: f64 = tones.iter().enumerate().map(|(number, tone)| (turn * tone + number as f64).sin()).sum();
            (sum * 600.0) as i16
        })
    };
    parts.iter().flat_map(part).collect()
}

/// So many half seconds of it, at this loudness.
pub fn voice(low: bool, halves: usize, loudness: f64) -> Vec<i16> {
    audio(&vec![low; halves]).into_iter().map(|sample| (f64::from(sample) * loudness) as i16).collect()
}
