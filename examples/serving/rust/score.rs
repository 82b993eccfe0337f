//! Scores rows of text: score ARTIFACT < rows > predictions
//!
//!     rustc -O score.rs -L $FMC -C link-arg=-Wl,-rpath,$FMC -o score

use std::ffi::{CStr, CString};
use std::io::{self, BufRead, BufWriter, Write};
use std::os::raw::{c_char, c_int, c_uint};
use std::ptr;

/// What of fmcompress.h is needed here.
mod ffi {
    use super::*;

    pub const MESSAGE_BYTES: usize = 512;

    #[repr(C)]
    pub struct Model {
        _opaque: [u8; 0],
    }

    #[link(name = "fmcompress")]
    extern "C" {
        pub fn fmc_open(path: *const c_char, flags: c_uint, model: *mut *mut Model, message: *mut c_char) -> c_int;
        pub fn fmc_close(model: *mut Model);
        pub fn fmc_id_count(model: *const Model) -> usize;
        pub fn fmc_value_count(model: *const Model) -> usize;
        pub fn fmc_predict_i64(
            model: *const Model,
            ids: *const i64,
            values: *const f64,
            rows: usize,
            threads: c_uint,
            predictions: *mut f32,
            message: *mut c_char,
        ) -> c_int;
    }
}

/// An artifact that is open.
pub struct Model(*mut ffi::Model);

// A model does not change once it is open; it is closed when nobody borrows it any more.
unsafe impl Send for Model {}
unsafe impl Sync for Model {}

impl Model {
    pub fn open(path: &str) -> Result<Model, String> {
        let path = CString::new(path).map_err(|error| error.to_string())?;
        let mut model = ptr::null_mut();
        checked(|message| unsafe { ffi::fmc_open(path.as_ptr(), 0, &mut model, message) })?;
        Ok(Model(model))
    }

    pub fn ids(&self) -> usize {
        unsafe { ffi::fmc_id_count(self.0) }
    }

    pub fn values(&self) -> usize {
        unsafe { ffi::fmc_value_count(self.0) }
    }

    /// Returns the predictions of rows: `ids()` numbers of each in `ids`, `values()` of each in `values`.
    pub fn predict(&self, ids: &[i64], values: &[f64]) -> Result<Vec<f32>, String> {
        let rows = ids.len() / self.ids();
        if ids.len() != rows * self.ids() || values.len() != rows * self.values() {
            return Err("ids and values are not of whole rows".to_string());
        }
        let mut predictions = vec![0.0; rows];
        checked(|message| unsafe {
            ffi::fmc_predict_i64(self.0, ids.as_ptr(), values.as_ptr(), rows, 1, predictions.as_mut_ptr(), message)
        })?;
        Ok(predictions)
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        unsafe { ffi::fmc_close(self.0) }
    }
}

/// Makes a call that has room for a message, and returns the message where it fails.
fn checked(call: impl FnOnce(*mut c_char) -> c_int) -> Result<(), String> {
    let mut message = [0 as c_char; ffi::MESSAGE_BYTES];
    match call(message.as_mut_ptr()) {
        0 => Ok(()),
        _ => Err(unsafe { CStr::from_ptr(message.as_ptr()) }.to_string_lossy().into_owned()),
    }
}

/// Adds the numbers of a line to rows; None where they are not what they should be.
fn read_row(line: &str, model: &Model, ids: &mut Vec<i64>, values: &mut Vec<f64>) -> Option<()> {
    let mut words = line.split(|c: char| c == ',' || c.is_whitespace()).filter(|word| !word.is_empty());
    for _ in 0..model.ids() {
        ids.push(words.next()?.parse().ok()?);
    }
    for _ in 0..model.values() {
        values.push(words.next()?.parse().ok()?);
    }
    words.next().is_none().then(|| ())
}

fn score(path: &str) -> Result<(), String> {
    const BATCH: usize = 1024;
    let model = Model::open(path)?;
    let mut output = BufWriter::new(io::stdout());
    let (mut ids, mut values) = (Vec::new(), Vec::new());
    let mut lines = io::stdin().lock().lines().enumerate();
    loop {
        let next = lines.next();
        if next.is_none() || ids.len() == BATCH * model.ids() {
            for prediction in model.predict(&ids, &values)? {
                writeln!(output, "{:.6}", prediction).map_err(|error| error.to_string())?;
            }
            ids.clear();
            values.clear();
        }
        let (number, line) = match next {
            Some((number, line)) => (number + 1, line.map_err(|error| error.to_string())?),
            None => return output.flush().map_err(|error| error.to_string()),
        };
        read_row(&line, &model, &mut ids, &mut values).ok_or_else(|| {
            format!("line {}: expected {} ids and {} values", number, model.ids(), model.values())
        })?;
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let done = match arguments.as_slice() {
        [_, path] => score(path),
        _ => Err("usage: score ARTIFACT < rows > predictions".to_string()),
    };
    if let Err(message) = done {
        eprintln!("error: {}", message);
        std::process::exit(2);
    }
}
